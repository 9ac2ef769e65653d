/** One at a time on this machine, from choosing a mesh's network until its link holds it. */
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** Abstract sockets belong to a network namespace, as links do, and go with the process that holds them. */
const lock = "\0nginx-mesh/network";
const pauseMilliseconds = 20;

function take(): Promise<(() => void) | undefined> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen(lock, () => {
      server.unref();
      resolve(() => void server.close());
    });
  });
}

/** Runs the action while no other process does so. Throws what the action throws. */
export async function withNetworkLock<T>(action: () => Promise<T>): Promise<T> {
  for (;;) {
    const release = await take();
    if (release !== undefined) {
      try {
        return await action();
      } finally {
        release();
      }
    }
    await sleep(pauseMilliseconds);
  }
}
