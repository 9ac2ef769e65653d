/**
 * Ledger: plain TCP, an amount a line. Each line is answered with the sum so far; when the client has ended its side,
 * the server says how many lines there were, and ends its own.
 */
import { createServer } from "node:net";
import { createInterface } from "node:readline";

const server = createServer({ allowHalfOpen: true }, (socket) => {
  let lines = 0;
  let sum = 0;
  socket.on("error", () => socket.destroy());
  createInterface({ input: socket })
    .on("line", (line) => {
      lines += 1;
      sum += Number(line);
      socket.write(`sum ${sum}\n`);
    })
    .on("close", () => socket.end(`lines ${lines}\n`));
});

server.listen(7000);
process.on("SIGTERM", () => server.close(() => process.exit(0)));
