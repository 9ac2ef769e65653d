/** Which ports the server opens. */
import type { Server } from "node:net";

const left = (process.env["OFFLINE"] ?? "").split(",").map(Number);

export function offline(port: number): boolean {
  return left.includes(port);
}

export function listen(server: Server, port: number): void {
  if (!offline(port)) {
    server.listen(port, process.env["LISTEN"] ?? "0.0.0.0");
  }
}

/** Name of the pod, for answers. */
export const podName = process.env["HOSTNAME"] ?? "";
