/**
 * The engine's process. It is the first process of a PID namespace of its own, and has network and mount namespaces of
 * its own too: whatever way it ends, the kernel ends all processes of the mesh and takes down all its networks.
 */
import "reflect-metadata";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "./commands.ts";
import { engineView, serveControl } from "./control.ts";
import { startEngine } from "./engine.ts";
import { layoutOf } from "./layout.ts";
import { openLog } from "./log-file.ts";
import { engineSettings } from "./settings.ts";
import { copySidecarProgram } from "./sidecar-program.ts";

/** The host moves its link into our network namespace when it sees us. */
async function waitForUplink(): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const links = await run("ip", ["-o", "link", "show"]);
    if (links.includes("uplink")) {
      return;
    }
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error("the link to the host did not appear within 5 s");
}

async function main(): Promise<void> {
  const settings = engineSettings.parse(JSON.parse(process.argv[2] ?? "{}"));
  const layout = layoutOf(settings.state);
  mkdirSync(layout.logs, { recursive: true, mode: 0o700 });
  mkdirSync(layout.pods, { recursive: true, mode: 0o700 });
  mkdirSync(layout.scratch, { recursive: true, mode: 0o700 });
  copySidecarProgram(join(settings.program, "build/sidecar"), layout.sidecar);
  const file = openLog(layout.log);
  const log = (message: string): void => file.write(`${new Date().toISOString()} ${message}\n`);
  process.on("warning", (warning) => log(`warning: ${warning.message}`));
  process.on("uncaughtException", (error) => {
    log(`fatal: ${error.stack ?? error.message}`);
    process.exit(1);
  });

  await waitForUplink();
  const engine = await startEngine(settings, log);
  let ending = false;
  const stop = (): void => {
    if (ending) {
      return;
    }
    ending = true;
    log("stopping");
    void engine.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log(`stopping failed: ${(error as Error).message}`);
        process.exit(1);
      },
    );
  };
  await serveControl({
    socket: layout.controlSocket,
    view: () => engineView(engine, settings),
    rotateAuthority: () => engine.authority.rotate(),
    stop,
  });
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  log("running");
}

await main().catch((error: unknown) => {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
});
