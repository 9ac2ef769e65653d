/** The sidecars' program as it was when the mesh was started: a build meanwhile does not pull it from under them. */
import { chmodSync, cpSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

/** Copies `from` to `to`, readable by the sidecar's user whatever the umask of the build was. */
export function copySidecarProgram(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true });
  chmodSync(to, 0o755);
  for (const entry of readdirSync(to, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    chmodSync(path, entry.isDirectory() || (statSync(path).mode & 0o100) !== 0 ? 0o755 : 0o644);
  }
}
