/** Time that passes in the sidecars of a test mesh, for what would take hours. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestMesh } from "./mesh.ts";

const port = 8999;

/**
 * Moves every timer of nginx's worker (ngx_event_timer_rbtree, by which all of its timers go: nginx's, the module's and
 * Lua's) towards now. Those that would have run out meanwhile do so in the next turn of the event loop, in their order.
 */
const lua = `
    local ffi = require("ffi")
    pcall(ffi.cdef, [[
      typedef struct test_node_s test_node_t;
      struct test_node_s { uintptr_t key; test_node_t *left, *right, *parent; unsigned char color, data; };
      typedef struct { test_node_t *root, *sentinel; void *insert; } test_tree_t;
      extern test_tree_t ngx_event_timer_rbtree;
    ]])
    local tree = ffi.C.ngx_event_timer_rbtree
    local milliseconds = tonumber(ngx.var.arg_seconds) * 1000
    local count = 0
    local function shift(node)
      if node ~= tree.sentinel then
        node.key = node.key - milliseconds
        count = count + 1
        shift(node.left)
        shift(node.right)
      end
    end
    shift(tree.root)
    ngx.say(count)
`;

/** Moves the date that the mesh's Lua sees, and with it the ages of what it remembers. */
const dateLua = `
    local real, seconds = ngx.time, tonumber(ngx.var.arg_seconds)
    ngx.time = function() return real() + seconds end
    ngx.say(1)
`;

/** Counts the keys to whose changes the worker listens. */
const followedLua = `
    local count = 0
    for _ in pairs(require("sidecar.phases.worker").worker().nats.numbers) do count = count + 1 end
    ngx.say(count)
`;

/** Sidecars that start after this can be told that time has passed. */
export function prepareTime(mesh: TestMesh): void {
  const file = join(mesh.layout.sidecar, "nginx.conf");
  const server = `
server {
  listen 127.0.0.1:${port};
  location = /pass { content_by_lua_block {${lua}} }
  location = /date { content_by_lua_block {${dateLua}} }
  location = /followed { content_by_lua_block {${followedLua}} }
}
`;
  const text = readFileSync(file, "utf8");
  const changed = text.replace(/\n {4}upstream mesh \{/, `\n${server}$&`);
  assert.notEqual(changed, text, "there is no place for the test's server");
  writeFileSync(file, changed);
}

async function ask(mesh: TestMesh, pod: string, path: string): Promise<number> {
  const url = `http://127.0.0.1:${port}${path}`;
  const { stdout, stderr } = await mesh.exec(pod, "curl", "-sS", "-f", url);
  assert.ok(Number(stdout) > 0, `${path} in the sidecar of ${pod}: ${stdout}${stderr}`);
  return Number(stdout);
}

/** As if nothing had happened in the pod's sidecar for so long. Only times between events pass, not the date. */
export async function passTime(mesh: TestMesh, pod: string, hours: number): Promise<void> {
  await ask(mesh, pod, `/pass?seconds=${hours * 3600}`);
}

/** The date, too. */
export async function passDate(mesh: TestMesh, pod: string, seconds: number): Promise<void> {
  await ask(mesh, pod, `/date?seconds=${seconds}`);
  await ask(mesh, pod, `/pass?seconds=${seconds}`);
}

/** To the changes of how many keys the pod's sidecar listens. */
export function followedKeys(mesh: TestMesh, pod: string): Promise<number> {
  return ask(mesh, pod, "/followed");
}
