/** An HTTPS server with a certificate that nobody trusts, on 7443. */
import { createServer } from "node:https";
import { selfSigned } from "./anything/tcp.ts";

const pem = selfSigned();
createServer({ key: pem, cert: pem }, (request, response) => {
  response.end(`secure ${request.url}`);
}).listen(7443, "0.0.0.0");
process.on("SIGTERM", () => process.exit(0));
