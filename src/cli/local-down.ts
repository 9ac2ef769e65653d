/** `local down`: ends a mesh and removes every trace of it. */
import { Command } from "commander";
import { cleanUp, readRecord } from "../local/host.ts";
import { globalOptions } from "./global-options.ts";
import { endMesh } from "./local-end.ts";
import { chosenMesh } from "./local-mesh.ts";
import type { Output } from "./program.ts";

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
      await (options.now === true ? cleanUp(mesh.layout) : endMesh(mesh, record, output));
      output.print(`mesh "${record.settings.name}" is down\n`);
    });
}
