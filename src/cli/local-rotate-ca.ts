/** `local rotate-ca`: a new certificate authority, which signs after the overlap. */
import { Command } from "commander";
import { globalOptions } from "./global-options.ts";
import { runningMesh, tellEngine } from "./local-mesh.ts";
import type { Output } from "./program.ts";

export function localRotateCommand(output: Output): Command {
  return new Command("rotate-ca")
    .summary("replace the certificate authority of a mesh")
    .description(
      "Publishes a new certificate authority now; it signs after the overlap, and the old one stays trusted until its SVIDs have ended.",
    )
    .action(async (_options: object, command: Command) => {
      const mesh = await runningMesh(command);
      await tellEngine(mesh, "/rotate-ca", globalOptions(command).timeout);
      output.print(`mesh "${mesh.name}" has a new certificate authority\n`);
    });
}
