/** `local down`: ends a mesh and removes every trace of it. */
import { Command } from "commander";
import { cleanUp, isAlive, readRecord, untilEnded } from "../local/host.ts";
import { globalOptions } from "./global-options.ts";
import { chosenMesh, tellEngine } from "./local-mesh.ts";
import type { Output } from "./program.ts";

/** Applications get time to end; after that the kernel ends them. */
const patience = 40_000;

export function localDownCommand(output: Output): Command {
  return new Command("down")
    .summary("end a mesh")
    .description("Ends a mesh: its pods, its control plane, its networks and its state folder.")
    .option("--name <name>", "name of the mesh (default: default)")
    .option("--now", "do not wait for applications to end by themselves")
    .action(async (options: { name?: string; now?: boolean }, command: Command) => {
      const mesh = chosenMesh({
        ...globalOptions(command),
        ...(options.name === undefined ? {} : { name: options.name }),
      });
      const record = readRecord(mesh.layout);
      if (record === undefined) {
        output.print(`mesh "${mesh.name}" is not running: nothing to do\n`);
        return;
      }
      if (isAlive(record) && options.now !== true) {
        const told = await tellEngine(mesh, "/stop", 5000).then(
          () => true,
          () => false,
        );
        if (told && !(await untilEnded(record, patience))) {
          output.warn(`not ended after ${patience / 1000} s: ending it by force\n`);
        }
      }
      await cleanUp(mesh.layout);
      output.print(`mesh "${record.settings.name}" is down\n`);
    });
}
