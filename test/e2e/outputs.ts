/** What commands of `nginx-meshctl` print for a test mesh. */
import assert from "node:assert/strict";
import type { TestMesh } from "./mesh.ts";

export interface Outputs {
  /** Of the command with `-o json`, parsed; fails with what it says when its status is not 0. */
  json(...args: readonly string[]): Promise<unknown>;
  /** Of the command as it is; fails likewise. */
  text(...args: readonly string[]): Promise<string>;
}

/** Of the mesh that there is when a command is run. */
export function outputsOf(mesh: () => TestMesh): Outputs {
  const text = async (...args: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await mesh().meshctl(...args);
    assert.equal(status, 0, `${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const json = async (...args: readonly string[]): Promise<unknown> =>
    JSON.parse(await text(...args, "-o", "json")) as unknown;
  return { json, text };
}
