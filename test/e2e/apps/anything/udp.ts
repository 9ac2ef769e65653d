/** A UDP server: answers with its name and what it received. */
import { createSocket } from "node:dgram";
import { podName } from "./listen.ts";

export function startUdp(): void {
  const socket = createSocket("udp4");
  socket.on("message", (message, { address, port }) =>
    socket.send(`${podName} heard ${message.toString()}`, port, address),
  );
  socket.bind(7053);
}
