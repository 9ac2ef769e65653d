/**
 * Client of DNS: the name servers and the search list of /etc/resolv.conf, which the kubelet mounts. nginx's own
 * resolver wants its servers in nginx.conf, which is the same in every pod. Nothing here blocks the worker.
 */
import { addressInUrl, canonicalText } from "../logic/address.ts";
import {
  answerTo,
  candidateNames,
  questionOf,
  readResolverSettings,
  typeA,
  typeAaaa,
  type DnsAnswer,
  type ResolverSettings,
} from "../logic/dns.ts";

const settingsFile = "/etc/resolv.conf";
const port = 53;
const largestMessage = 4096;
/** Seconds that one server is waited for at most: whoever asks tries again. */
const patience = 2;

export interface Resolver {
  /** The full name that had addresses last; tried first. */
  known: string | undefined;
}

export function createResolver(): Resolver {
  return { known: undefined };
}

function readSettings(): ResolverSettings {
  const [file] = io.open(settingsFile, "r");
  const text = file === undefined ? undefined : file.read("*a");
  file?.close();
  return readResolverSettings(`${text ?? ""}`);
}

/** Receives until both questions are answered or time is up, whatever else comes. */
function receiveAnswers(
  socket: UdpSocket,
  questions: readonly string[],
  seconds: number,
): (DnsAnswer | undefined)[] {
  const end = ngx.now() + seconds;
  const answers: (DnsAnswer | undefined)[] = [];
  let open = questions.length;
  while (open > 0 && ngx.now() < end) {
    socket.settimeout((end - ngx.now()) * 1000);
    const [bytes] = socket.receive(largestMessage);
    if (bytes === undefined) {
      return answers;
    }
    // datagrams that are there already are received without the event loop, in which the clock goes on
    ngx.update_time();
    for (let i = 0; i < questions.length; i++) {
      const answer = answerTo(questions[i]!, bytes);
      if (answer !== undefined && answers[i] === undefined) {
        answers[i] = answer;
        open = open - 1;
      }
    }
  }
  return answers;
}

/** Addresses of both families; an error text when the server said nothing that counts. */
function askServer(server: string, name: string, seconds: number): string[] | string {
  const host = canonicalText(server);
  const id = math.random(0, 65534);
  const questions = [questionOf(id, name, typeA), questionOf(id + 1, name, typeAaaa)];
  if (host === undefined || questions[0] === undefined || questions[1] === undefined) {
    return host === undefined ? `"${server}" is no IP address` : `"${name}" is no name`;
  }
  const socket = ngx.socket.udp();
  const [ready, error] = socket.setpeername(addressInUrl(host), port);
  if (ready === undefined) {
    return error ?? "cannot be reached";
  }
  socket.send(questions[0]);
  socket.send(questions[1]);
  const answers = receiveAnswers(socket, [questions[0], questions[1]], seconds);
  socket.close();
  const addresses: string[] = [];
  let said = 0;
  for (let i = 0; i < questions.length; i++) {
    const answer = answers[i];
    said = answer === undefined || answer.kind === "failed" ? said : said + 1;
    for (let j = 0; answer !== undefined && answer.kind === "addresses" && j < answer.addresses.length; j++) {
      addresses.push(answer.addresses[j]!);
    }
  }
  if (addresses.length > 0 || said === questions.length) {
    return addresses;
  }
  return answers.length === 0 ? "does not answer" : "answers with a failure";
}

/** The same of the first server that answers. */
function askServers(settings: ResolverSettings, name: string): string[] | string {
  let error = "";
  for (let attempt = 0; attempt < settings.attempts; attempt++) {
    for (let i = 0; i < settings.servers.length; i++) {
      const server = settings.servers[i]!;
      const found = askServer(server, name, math.min(settings.timeout, patience));
      if (typeof found !== "string") {
        return found;
      }
      error = `name server ${server} ${found}`;
    }
  }
  return error;
}

/** The addresses of a host name in canonical text, at least one; or a text that says why there are none. */
export function resolveName(resolver: Resolver, name: string): string[] | string {
  const settings = readSettings();
  const names = candidateNames(name, settings);
  if (resolver.known !== undefined) {
    names.unshift(resolver.known);
  }
  for (let i = 0; i < names.length; i++) {
    const found = askServers(settings, names[i]!);
    if (typeof found === "string") {
      return `cannot resolve "${name}": ${found}`;
    }
    if (found.length > 0) {
      resolver.known = names[i];
      return found;
    }
  }
  return `cannot resolve "${name}": no such name; asked for ${names.join(", ")}`;
}
