import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seeded } from "../../../test/sidecar/random.ts";
import { viewOf, type PlainRequest } from "../../../test/sidecar/world.ts";
import type { HttpMatch } from "../../wire/messages.ts";
import { byWeight, chooseBackend, satisfies, type RouteRule } from "./route.ts";

function rule(weights: Readonly<Record<string, number>>, matches?: readonly HttpMatch[]): RouteRule<string> {
  const backends = Object.entries(weights).map(([pool, weight]) => ({ pool, weight }));
  return { matches, backends, total: backends.reduce((sum, { weight }) => sum + weight, 0) };
}

const weights = fc
  .array(fc.nat(50), { minLength: 1, maxLength: 8 })
  .filter((list) => list.some((weight) => weight > 0))
  .map((list) => rule(Object.fromEntries(list.map((weight, i) => [`b${i}`, weight]))));

test("over all points of the total each backend gets exactly its weight", () => {
  fc.assert(
    fc.property(weights, (split) => {
      const counts = new Map<string | undefined, number>();
      for (let i = 0; i < split.total; i++) {
        const pool = byWeight(split, (i + 0.5) / split.total);
        counts.set(pool, (counts.get(pool) ?? 0) + 1);
      }
      for (const { pool, weight } of split.backends) {
        assert.equal(counts.get(pool) ?? 0, weight);
      }
      assert.equal(counts.has(undefined), false);
    }),
  );
});

test("a backend of weight zero is never chosen, and some backend always is", () => {
  const edges = fc.constantFrom(0, Number.MIN_VALUE, 0.5, 1 - 2 ** -53);
  const random = fc.oneof(edges, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }));
  fc.assert(
    fc.property(weights, random, (split, point) => {
      const chosen = byWeight(split, point);
      assert.ok(split.backends.some(({ pool, weight }) => pool === chosen && weight > 0));
    }),
    { numRuns: 2000 },
  );
});

test("observed shares lie within the bounds of the binomial distribution", () => {
  const requests = 100_000;
  for (const shares of [
    { a: 90, b: 10 },
    { a: 1, b: 1, c: 1 },
    { a: 999, b: 1 },
    { a: 0, b: 3, c: 5 },
  ]) {
    const random = seeded(4);
    const counts: Record<string, number> = {};
    for (let i = 0; i < requests; i++) {
      const pool = chooseBackend([rule(shares)], undefined, random)!;
      counts[pool] = (counts[pool] ?? 0) + 1;
    }
    const total = Object.values(shares).reduce((sum, weight) => sum + weight, 0);
    for (const [pool, weight] of Object.entries(shares)) {
      const share = weight / total;
      // 3.29 standard deviations: 1 in 1000
      const bound = 3.29 * Math.sqrt(requests * share * (1 - share));
      assert.ok(Math.abs((counts[pool] ?? 0) - requests * share) <= bound, `${pool}: ${counts[pool]}`);
    }
  }
});

const matchCases: readonly (readonly [string, HttpMatch, PlainRequest, boolean])[] = [
  ["no condition", {}, {}, true],
  ["path", { pathRegex: "/api/.*" }, { path: "/api/x" }, true],
  ["path, whole value", { pathRegex: "/api" }, { path: "/api/x" }, false],
  ["path, alternatives are held together", { pathRegex: "/a|/b" }, { path: "/bc" }, false],
  ["method", { methods: ["GET", "HEAD"] }, { method: "HEAD" }, true],
  ["another method", { methods: ["GET", "HEAD"] }, { method: "POST" }, false],
  ["any method", { methods: ["*"] }, { method: "PROPFIND" }, true],
  ["an empty list of methods", { methods: [] }, { method: "POST" }, true],
  ["header", { headers: { "x-user": "a.*" } }, { headers: { "x-user": "anna" } }, true],
  ["header with another value", { headers: { "x-user": "a.*" } }, { headers: { "x-user": "bob" } }, false],
  ["header that is missing", { headers: { "x-user": ".*" } }, {}, false],
  ["empty header", { headers: { "x-user": ".*" } }, { headers: { "x-user": "" } }, true],
  [
    "all headers",
    { headers: { "x-user": "a", "x-team": "b" } },
    { headers: { "x-user": "a", "x-team": "b" } },
    true,
  ],
  ["one header of two", { headers: { "x-user": "a", "x-team": "b" } }, { headers: { "x-user": "a" } }, false],
  ["all kinds", { pathRegex: "/", methods: ["GET"], headers: { a: "1" } }, { headers: { a: "1" } }, true],
  ["path does not hold", { pathRegex: "/x", methods: ["GET"] }, {}, false],
  ["method does not hold", { pathRegex: "/", methods: ["PUT"] }, {}, false],
];

for (const [title, match, request, expected] of matchCases) {
  test(`match: ${title}`, () => assert.equal(satisfies(match, viewOf(request)), expected));
}

test("the first rule that applies decides, in their order; no rule: the root service", () => {
  const get: HttpMatch = { methods: ["GET"] };
  const api: HttpMatch = { pathRegex: "/api.*" };
  const choose = (rules: readonly RouteRule<string>[], request?: PlainRequest): string | undefined =>
    chooseBackend(rules, request === undefined ? undefined : viewOf(request), () => 0.5);
  const getFirst = [rule({ get: 1 }, [get]), rule({ api: 1 }, [api])];
  const apiFirst = [getFirst[1]!, getFirst[0]!];
  assert.equal(choose(getFirst, { path: "/api" }), "get");
  assert.equal(choose(apiFirst, { path: "/api" }), "api");
  assert.equal(choose(getFirst, { path: "/api", method: "PUT" }), "api");
  assert.equal(choose(getFirst, { path: "/", method: "PUT" }), undefined);
  assert.equal(choose([...getFirst, rule({ rest: 1 })], { path: "/", method: "PUT" }), "rest");
  assert.equal(choose([rule({ rest: 1 }, []), ...getFirst], { path: "/api" }), "rest");
  assert.equal(choose([rule({ either: 1 }, [get, api])], { path: "/api", method: "PUT" }), "either");
  assert.equal(choose([]), undefined);
});

test("connections that are not HTTP satisfy no match, only rules without one", () => {
  const rules = [rule({ matched: 1 }, [{}]), rule({ rest: 1 })];
  assert.equal(chooseBackend(rules, undefined, Math.random), "rest");
  assert.equal(chooseBackend([rules[0]!], undefined, Math.random), undefined);
});

test("a random number is drawn only when a rule applies", () => {
  let drawn = 0;
  const random = (): number => {
    drawn++;
    return 0;
  };
  chooseBackend([rule({ a: 1 }, [{ methods: ["PUT"] }])], viewOf({}), random);
  assert.equal(drawn, 0);
  chooseBackend([rule({ a: 1 })], viewOf({}), random);
  assert.equal(drawn, 1);
});
