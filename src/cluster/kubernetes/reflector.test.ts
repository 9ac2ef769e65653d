/** The reflector where the API server is in trouble, over real TLS. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Call, type ScriptedApi, startScriptedApi } from "../../../test/fixtures/api-server-script.ts";
import { openApiServer } from "./api-server.ts";
import { startReflector } from "./reflector.ts";
import type { Resource } from "./resources.ts";

const resource: Resource = {
  group: "example.org",
  versions: ["v2", "v1"],
  plural: "things",
  kind: "Thing",
  optional: false,
};

function thing(name: string, version: number, value = "") {
  return {
    metadata: { name, namespace: "default", resourceVersion: `${version}`, labels: { value } },
  };
}

function list(version: number, items: readonly object[], next = "") {
  return { metadata: { resourceVersion: `${version}`, ...(next === "" ? {} : { continue: next }) }, items };
}

interface Followed {
  readonly api: ScriptedApi;
  /** Name → value, as the sink has them. */
  readonly objects: ReadonlyMap<string, string>;
  readonly errors: readonly string[];
  /** How often the sink's whole state was replaced. */
  replaced(): number;
}

async function follow(
  script: (call: Call, number: number) => void,
  use: (followed: Followed) => Promise<void>,
  of: Resource = resource,
): Promise<void> {
  const scripted = await startScriptedApi(script);
  const api = openApiServer(scripted.options);
  const objects = new Map<string, string>();
  const errors: string[] = [];
  let replaced = 0;
  const reflector = startReflector<string>({
    api,
    resource: of,
    project: (raw) => (raw as ReturnType<typeof thing>).metadata.labels.value,
    sink: {
      replace(all) {
        replaced += 1;
        objects.clear();
        all.forEach((value, key) => objects.set(key, value));
      },
      set: (key, value) => void objects.set(key, value),
      remove: (key) => void objects.delete(key),
    },
    onState: (error) => void errors.push(error),
  });
  try {
    await use({ api: scripted, objects, errors, replaced: () => replaced });
  } finally {
    reflector.close();
    api.close();
    await scripted.close();
  }
}

async function until(what: string, check: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!check()) {
    assert.ok(Date.now() < end, `${what} does not happen`);
    await delay(5);
  }
}

function watches({ api }: Followed): readonly Call[] {
  return api.calls.filter((call) => call.watch);
}

test("pages of a list are one state; the watch begins at its version and asks for bookmarks", async () => {
  await follow(
    (call) => {
      if (!call.watch) {
        const last = call.query.get("continue") === "more";
        call.answer(200, last ? list(7, [thing("b", 2, "b")]) : list(7, [thing("a", 1, "a")], "more"));
      }
    },
    async (followed) => {
      await until("the watch", () => watches(followed).length === 1);
      assert.deepEqual(
        [...followed.objects],
        [
          ["default/a", "a"],
          ["default/b", "b"],
        ],
      );
      assert.equal(followed.replaced(), 1);
      const [watch] = watches(followed);
      assert.equal(watch?.path, "/apis/example.org/v2/things");
      assert.equal(watch?.query.get("resourceVersion"), "7");
      assert.equal(watch?.query.get("allowWatchBookmarks"), "true");
      assert.deepEqual(followed.errors, [""]);
    },
  );
});

test("events change the state, also when a frame is cut in the middle of a character", async () => {
  await follow(
    (call) => {
      if (!call.watch) {
        call.answer(200, list(1, [thing("a", 1, "a"), thing("b", 1, "b")]));
        return;
      }
      const frame = Buffer.from(`${JSON.stringify({ type: "MODIFIED", object: thing("a", 2, "ä") })}\n`);
      const cut = frame.indexOf(0xc3) + 1;
      call.response.writeHead(200);
      call.response.write(frame.subarray(0, cut));
      setTimeout(() => {
        call.response.write(frame.subarray(cut));
        call.event("DELETED", thing("b", 3));
        call.event("ADDED", thing("c", 4, "c"));
      }, 20);
    },
    async ({ objects }) => {
      await until("the last event", () => objects.has("default/c"));
      assert.deepEqual(
        [...objects],
        [
          ["default/a", "ä"],
          ["default/c", "c"],
        ],
      );
    },
  );
});

test("a watch that ends or breaks goes on from the last event or bookmark, without a list", async () => {
  await follow(
    (call, number) => {
      switch (number) {
        case 0:
          call.answer(200, list(1, [thing("a", 1, "a")]));
          break;
        case 1:
          call.event("ADDED", thing("b", 5, "b"));
          setTimeout(() => call.response.destroy(), 20);
          break;
        case 2:
          call.event("BOOKMARK", { metadata: { resourceVersion: "9" } });
          call.response.end();
          break;
        default:
          call.event("ADDED", thing("c", 10, "c"));
      }
    },
    async (followed) => {
      await until("the third watch", () => followed.objects.has("default/c"));
      assert.deepEqual(
        watches(followed).map((call) => call.query.get("resourceVersion")),
        ["1", "5", "9"],
      );
      assert.equal(followed.replaced(), 1);
      assert.deepEqual([...followed.objects.keys()], ["default/a", "default/b", "default/c"]);
    },
  );
});

for (const how of ["as an event", "as a status"] as const) {
  test(`410 Gone ${how} leads to a list: what vanished meanwhile is gone, and is no error`, async () => {
    await follow(
      (call, number) => {
        if (number === 0) {
          call.answer(200, list(1, [thing("a", 1, "a"), thing("b", 1, "b")]));
        } else if (number === 1 && how === "as an event") {
          call.event("ERROR", { kind: "Status", code: 410, message: "too old resource version" });
        } else if (number === 1) {
          call.answer(410, { kind: "Status", message: "too old resource version" });
        } else if (!call.watch) {
          call.answer(200, list(50, [thing("b", 40, "B")]));
        }
      },
      async (followed) => {
        await until("the second watch", () => watches(followed).length === 2);
        assert.deepEqual([...followed.objects], [["default/b", "B"]]);
        assert.equal(watches(followed)[1]?.query.get("resourceVersion"), "50");
        assert.deepEqual(
          followed.errors.filter((error) => error !== ""),
          [],
        );
      },
    );
  });
}

test("a list whose pages expire is asked for at once", async () => {
  await follow(
    (call) => {
      if (call.watch) {
        return;
      }
      if (call.query.get("limit") === null) {
        call.answer(200, list(9, [thing("a", 1, "a"), thing("b", 1, "b")]));
      } else if (call.query.get("continue") === null) {
        call.answer(200, list(7, [thing("a", 1, "a")], "more"));
      } else {
        call.answer(410, { kind: "Status", message: "the provided continue parameter is too old" });
      }
    },
    async (followed) => {
      await until("the watch", () => watches(followed).length === 1);
      assert.deepEqual([...followed.objects.keys()], ["default/a", "default/b"]);
    },
  );
});

test("429 is obeyed: the next request comes no sooner than the server says", async () => {
  let refusedAt = 0;
  await follow(
    (call, number) => {
      if (number === 0) {
        refusedAt = performance.now();
        call.answer(429, { kind: "Status", message: "too many requests" }, { "retry-after": "1" });
      } else if (!call.watch) {
        assert.ok(performance.now() - refusedAt >= 990);
        call.answer(200, list(1, []));
      }
    },
    async (followed) => {
      await until("the watch", () => watches(followed).length === 1);
      assert.match(followed.errors[0]!, /^cannot list things\.example\.org: .* 429: too many requests$/);
      assert.equal(followed.errors.at(-1), "");
    },
  );
});

test("403 says who must be allowed what", async () => {
  await follow(
    (call) => call.answer(403, { kind: "Status", message: 'User "x" cannot list resource "things"' }),
    async ({ errors, replaced }) => {
      await until("an error", () => errors.length > 0);
      assert.equal(
        errors[0],
        'cannot list things.example.org: access is denied; let the program\'s ServiceAccount "get", "list" and "watch" the resource "things" of the API group "example.org" (GET /apis/example.org/v2/things: the API server answers 403: User "x" cannot list resource "things")',
      );
      assert.equal(replaced(), 0);
    },
  );
});

test("of several API versions the first that the server has is followed", async () => {
  await follow(
    (call) => {
      if (call.path.includes("/v2/")) {
        call.answer(404, { kind: "Status", message: "not found" });
      } else if (!call.watch) {
        call.answer(200, list(1, [thing("a", 1, "a")]));
      }
    },
    async (followed) => {
      await until("the watch", () => watches(followed).length === 1);
      assert.equal(watches(followed)[0]?.path, "/apis/example.org/v1/things");
      assert.deepEqual([...followed.objects.keys()], ["default/a"]);
    },
  );
});

for (const optional of [true, false]) {
  test(`a resource that the server does not have is ${optional ? "empty" : "an error"}`, async () => {
    await follow(
      (call) => call.answer(404, { kind: "Status", message: "not found" }),
      async ({ errors, replaced }) => {
        await until("the state", () => errors.length > 0);
        assert.equal(replaced(), optional ? 1 : 0);
        assert.equal(errors[0] === "", optional);
        assert.match(errors[0]!, optional ? /^$/ : /the API server does not have this resource/);
      },
      { ...resource, optional },
    );
  });
}

test("an API server that is away is tried again and again, with longer and longer pauses", async () => {
  const scripted = await startScriptedApi((call) => call.response.destroy());
  const api = openApiServer(scripted.options);
  const errors: string[] = [];
  const reflector = startReflector<string>({
    api,
    resource,
    project: () => "",
    sink: { replace: () => assert.fail(), set: () => assert.fail(), remove: () => assert.fail() },
    onState: (error) => void errors.push(error),
  });
  await delay(2_000);
  reflector.close();
  const attempts = scripted.calls.length;
  // 200 ms doubling: some five attempts in two seconds, not hundreds
  assert.ok(attempts >= 3 && attempts <= 12, `${attempts} attempts`);
  assert.match(errors[0]!, /^cannot reach the API server: /);
  api.close();
  await scripted.close();
});
