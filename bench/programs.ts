/** The benchmark's own programs, in C: what offers the load and what answers it must cost less than what is measured. */
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { runNow } from "./commands.ts";

const sources = join(import.meta.dirname, "programs");
const output = join(import.meta.dirname, "../build/bench");

export interface Programs {
  readonly app: string;
  readonly load: string;
  readonly probe: string;
  readonly ready: string;
}

const parts: Readonly<Record<keyof Programs, readonly string[]>> = {
  app: ["app.c", "app_http1.c", "app_grpc.c"],
  load: ["load.c", "load_http1.c", "load_grpc.c", "load_tcp.c", "histogram.c"],
  probe: ["probe.c"],
  ready: ["ready.c"],
};

/** Compiles what is older than its sources. Throws CommandError with the compiler's message. */
export function buildPrograms(): Programs {
  mkdirSync(output, { recursive: true });
  const newest = Math.max(...readdirSync(sources).map((file) => statSync(join(sources, file)).mtimeMs));
  for (const [name, files] of Object.entries(parts)) {
    const target = join(output, name);
    const made = statSync(target, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (made < newest) {
      const paths = files.map((file) => join(sources, file));
      // static: the same file runs whatever root folder a pod has
      runNow(["gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", target, ...paths]);
    }
  }
  const path = (name: string): string => join(output, name);
  return { app: path("app"), load: path("load"), probe: path("probe"), ready: path("ready") };
}
