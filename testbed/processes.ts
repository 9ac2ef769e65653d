/** Starts, watches and ends the parts of a bed. */
import { existsSync, readFileSync } from "node:fs";
import type { Bed } from "./bed.ts";
import { BedError, logEnd } from "./errors.ts";
import { inside, type Part } from "./parts.ts";
import type { Programs } from "./programs.ts";
import { attempt, run, sleep } from "./run.ts";

/** The process of a part, by its number in the bed; undefined when it does not run. */
export async function pidOf(bed: Bed, part: Part): Promise<number | undefined> {
  const file = bed.layout.pid(part.name);
  if (!existsSync(file)) {
    return undefined;
  }
  const pid = readFileSync(file, "utf8").trim();
  const found = await attempt([...bed.enter(), "cat", `/proc/${pid}/comm`]);
  // the kernel keeps 15 characters of a name
  return found.output.trim() === part.program.slice(0, 15) ? Number(pid) : undefined;
}

/** Starts the part unless it runs. Says whether it did. */
export async function ensureRunning(bed: Bed, part: Part, programs: Programs): Promise<boolean> {
  if ((await pidOf(bed, part)) !== undefined) {
    return false;
  }
  const path = `${programs.folders.join(":")}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin`;
  const start = `setsid env PATH="${path}" "$@" </dev/null >>${inside.log(part.name)} 2>&1 & echo $! >${inside.pid(part.name)}`;
  await run([...bed.enter(part.node), "sh", "-ec", start, "sh", programs.path(part.program), ...part.args]);
  return true;
}

export async function signal(bed: Bed, part: Part, name: "TERM" | "KILL" | "STOP" | "CONT"): Promise<void> {
  const pid = await pidOf(bed, part);
  if (pid === undefined) {
    throw new BedError(`${part.name} does not run. ${logEnd(bed.layout.log(part.name))}`);
  }
  await run([...bed.enter(), "kill", `-${name}`, String(pid)]);
}

export interface Wait {
  readonly what: string;
  readonly seconds: number;
  /** Parts that must run meanwhile; the log of the first is shown when the time is over. */
  readonly parts: readonly Part[];
  /** Undefined when it is so, else what is missing. */
  readonly check: () => Promise<string | undefined>;
  /** What to show when the time is over; the end of the first part's log when absent. */
  readonly detail?: () => Promise<string>;
}

/** Waits until the check passes. Throws BedError when a part ends meanwhile or the time is over. */
export async function until(bed: Bed, wait: Wait): Promise<void> {
  const end = Date.now() + wait.seconds * 1000;
  let missing: string | undefined;
  while (Date.now() < end) {
    missing = await wait.check();
    if (missing === undefined) {
      return;
    }
    for (const part of wait.parts) {
      if ((await pidOf(bed, part)) === undefined) {
        throw new BedError(`${part.name} has ended. ${logEnd(bed.layout.log(part.name))}`);
      }
    }
    await sleep(200);
  }
  const [first] = wait.parts;
  const log = first === undefined ? "" : logEnd(bed.layout.log(first.name));
  const detail = wait.detail === undefined ? log : await wait.detail();
  throw new BedError(`${wait.what}: not within ${wait.seconds} s: ${missing}.\n${detail}`);
}
