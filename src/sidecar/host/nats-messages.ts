/** What NATS sends: values of keys, as answers to a direct get and as changes that follow. */
import { completeKey } from "../../wire/keys.ts";
import { askAgain, type Key } from "../logic/keys.ts";
import { absent, completeness, present, type Source } from "../logic/settle.ts";
import { type Nats, wake } from "./nats.ts";
import { isGenuine } from "./nats-origin.ts";

const cjson = require("cjson.safe");

const largestPayload = 8 * 1024 * 1024;
/** Seconds until a key is asked for again that NATS had nobody to answer for: it starts, or reads its accounts anew. */
const againInterval = 0.1;

function settle(nats: Nats, key: Key, headers: string, payload: string, source: Source): void {
  const mesh = nats.mesh;
  const [status] = string.match(headers, "^NATS/1.0 (%d+)");
  if (status !== undefined && status !== "404") {
    ngx.log(ngx.INFO, `mesh: NATS answered ${status} for "${key.name}"; asked again soon`);
    nats.again.push(key.name);
    nats.againAt = ngx.now() + againInterval;
    wake(nats);
    return;
  }
  const [operation] = string.match(headers, "KV%-Operation: (%u+)");
  const gone = status === "404" || operation !== undefined;
  if (key.name === completeKey) {
    if (completeness(mesh, key, !gone)) {
      askAgain(mesh.keys);
      wake(nats);
    }
    return;
  }
  if (gone) {
    absent(mesh, key, operation !== undefined, source);
    return;
  }
  const [value] = cjson.decode(payload);
  present(mesh, key, value, source);
  if (key.value === value) {
    key.checksum = ngx.crc32_long(payload);
  }
}

/** `MSG subject sid [reply] size` or `HMSG subject sid [reply] header-size size`; returns an error or undefined. */
export function readMessage(nats: Nats, socket: TcpSocket, line: string): string | undefined {
  const [withHeader] = string.match(line, "^(H?)MSG ");
  const [subject] = string.match(line, "^H?MSG (%S+) ");
  const [sid] = string.match(line, "^H?MSG %S+ (%S+) ");
  const [sizes, total] = string.match(line, " (%d+) (%d+)$");
  const [only] = string.match(line, " (%d+)$");
  const size = tonumber(total ?? only ?? "") ?? largestPayload + 1;
  if (subject === undefined || sid === undefined || size > largestPayload) {
    return `unexpected message "${line}"`;
  }
  const [bytes, error] = socket.receive(size + 2);
  if (bytes === undefined) {
    return error ?? "closed";
  }
  const headerSize = withHeader === "H" ? (tonumber(sizes ?? "0") ?? 0) : 0;
  const headers = string.sub(bytes, 1, headerSize);
  const payload = string.sub(bytes, headerSize + 1, size);
  const isAnswer = sid === "1";
  const [answered] = string.match(subject, "%.(%d+)$");
  const number = isAnswer ? answered : sid;
  const key = number === undefined ? undefined : nats.followed[number];
  if (key !== undefined && isGenuine(headers, key.name, isAnswer)) {
    settle(nats, key, headers, payload, isAnswer ? "answer" : "message");
  }
  return undefined;
}
