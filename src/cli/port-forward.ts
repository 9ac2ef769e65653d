/** A connection to a port of a pod through the API server, as `kubectl port-forward` makes it. */
import { Duplex } from "node:stream";

import { WebSocket } from "ws";

import { CommandError } from "./errors.ts";
import { addressOf, type KubeClient, KubeError } from "./kube-client.ts";
import { explainNoAnswer, explainStatus } from "./kube-failure.ts";

export interface PodPort {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/** Frames of this protocol begin with the number of their channel: 0 is the port's data, 1 are errors. */
const protocol = "v4.channel.k8s.io";
const dataChannel = 0;
/** The first frame of each channel is the number of the port, two bytes. */
const portBytes = 2;

/** Connects; throws KubeError when it is not allowed, CommandError when there is no answer. */
export async function forwardPort(client: KubeClient, target: PodPort): Promise<Duplex> {
  const { cluster } = client;
  const path = `/api/v1/namespaces/${target.namespace}/pods/${target.pod}/portforward?ports=${target.port}`;
  const address = addressOf(cluster.server, path);
  address.protocol = cluster.server.protocol === "http:" ? "ws:" : "wss:";
  const timeout = client.left();
  const credentials = await cluster.credentials();
  const socket = new WebSocket(address, protocol, {
    ...(credentials as object),
    handshakeTimeout: Math.max(1, Math.floor(client.left())),
    perMessageDeflate: false,
  });
  // listens before the connection is open: the first frames, numbers of ports, may come together with its answer
  const stream = streamOf(socket, target);
  await opened(socket, client, path, timeout);
  return stream;
}

function opened(socket: WebSocket, client: KubeClient, path: string, timeout: number): Promise<void> {
  const whom = client.cluster.name;
  return new Promise((done, fail) => {
    socket.on("open", done);
    socket.on("unexpected-response", (_request, response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      const refuse = (): void => {
        const status = response.statusCode ?? 0;
        // RBAC asks for "get" for the upgrade of a GET request, newer servers for "create" too (Kubernetes 1.35)
        const question = { method: status === 403 && /cannot create/.test(body) ? "POST" : "GET", path };
        fail(new KubeError(explainStatus(whom, question, status, body), status));
        socket.terminate();
      };
      response.on("end", refuse);
      response.on("error", refuse);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const late = /handshake has timed out/.test(error.message);
      const cause = late ? Object.assign(new Error(error.message), { code: "ETIMEDOUT" }) : error;
      fail(new CommandError(explainNoAnswer(whom, cause, timeout), { cause: error }));
    });
  });
}

function streamOf(socket: WebSocket, target: PodPort): Duplex {
  const stream = new Duplex({
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, done) =>
      socket.send(Buffer.concat([Buffer.of(dataChannel), chunk]), done),
    final: (done) => done(),
    destroy: (error, done) => {
      socket.close();
      done(error);
    },
  });
  const seen = new Set<number>();
  socket.on("message", (data: Buffer) => {
    const channel = data[0] ?? dataChannel;
    const first = !seen.has(channel);
    seen.add(channel);
    const content = data.subarray(first ? 1 + portBytes : 1);
    if (content.length === 0) {
      return;
    }
    if (channel !== dataChannel) {
      stream.destroy(
        Object.assign(
          new Error(
            `port ${target.port} of pod ${target.namespace}/${target.pod}: ${content.toString("utf8").trim()}`,
          ),
          { code: "EPODPORT" },
        ),
      );
    } else if (!stream.push(content)) {
      socket.pause();
    }
  });
  socket.on("close", () => stream.push(null));
  socket.on("error", () => stream.destroy());
  return stream;
}
