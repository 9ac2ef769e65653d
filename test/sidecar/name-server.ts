/**
 * A name server for tests: `node name-server.ts ADDRESS NAMES`. NAMES is JSON, full name → addresses; a name that ends with
 * `!` makes the server fail for it, one that ends with `~` makes it send other datagrams without end, and one that is not
 * there does not exist. Says `ready` when it listens.
 */
import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import { decode, encode } from "dns-packet";

const [address = "", text = "{}"] = process.argv.slice(2);
const names = new Map(Object.entries(JSON.parse(text) as Record<string, readonly string[]>));

const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
socket.on("message", (message, from) => {
  const query = decode(message);
  const question = query.questions?.[0];
  if (question === undefined) {
    return;
  }
  const name = question.name.toLowerCase();
  if (names.has(`${name}~`)) {
    setInterval(() => socket.send("no answer", from.port, from.address), 20);
    return;
  }
  const found = names.get(name);
  const code = names.has(`${name}!`) ? 2 : found === undefined ? 3 : 0;
  const wanted = (found ?? []).filter((each) => isIPv6(each) === (question.type === "AAAA"));
  const type = question.type === "AAAA" ? ("AAAA" as const) : ("A" as const);
  const reply = encode({
    type: "response",
    id: query.id ?? 0,
    flags: 0x0400 | code,
    questions: query.questions ?? [],
    answers: wanted.map((data) => ({ type, name: question.name, ttl: 5, data })),
  });
  socket.send(reply, from.port, from.address);
});
socket.bind(53, address, () => process.stdout.write("ready\n"));
