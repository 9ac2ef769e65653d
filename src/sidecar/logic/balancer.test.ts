import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seeded, unevenness } from "../../../test/sidecar/random.ts";
import type { LbMethod } from "../../wire/messages.ts";
import { answered, refused, release, take } from "./balancer.ts";
import type { BalancedEndpoint, Pool } from "./methods.ts";

const methods: readonly LbMethod[] = [
  "round_robin",
  "least_conn",
  "least_time",
  "least_time last_byte",
  "least_time last_byte inflight",
  "random",
  "random two",
  "random two least_conn",
  "random two least_time",
  "random two least_time=last_byte",
];
const second = 1_000_000;
const never = Number.MAX_SAFE_INTEGER;

function createEndpoint(id: number): BalancedEndpoint {
  return { id, inFlight: 0, average: 0, averagedAt: 0, taken: 0, failures: 0, retryAt: 0, probing: false };
}

function createPool(method: LbMethod, count: number): Pool<BalancedEndpoint> {
  const endpoints = Array.from({ length: count }, (_, id) => createEndpoint(id));
  return { method, endpoints, next: 0, turn: 0, ailing: 0 };
}

function setAside(pool: Pool<BalancedEndpoint>, id: number): void {
  Object.assign(pool.endpoints[id]!, { failures: 1, retryAt: never });
  pool.ailing++;
}

interface Load {
  readonly requests: number;
  readonly clients: number;
  readonly random: () => number;
  /** Microseconds. */
  latency(id: number): number;
  /** When it begins; 1 s unless told. */
  readonly from?: number;
}

/** So many clients send one request after the other; how many each endpoint got. */
function run(pool: Pool<BalancedEndpoint>, load: Load): number[] {
  const counts = pool.endpoints.map(() => 0);
  const underWay: { endpoint: BalancedEndpoint; began: number; ends: number }[] = [];
  let now = load.from ?? second;
  const end = (): void => {
    underWay.sort((a, b) => b.ends - a.ends);
    const { endpoint, began, ends } = underWay.pop()!;
    now = ends;
    answered(pool, endpoint, ends - began, now);
  };
  for (let started = 0; started < load.requests; started++) {
    if (underWay.length === load.clients) {
      end();
    }
    const endpoint = take(pool, load.random, -1, now)!;
    counts[endpoint.id] = counts[endpoint.id]! + 1;
    underWay.push({ endpoint, began: now, ends: now + load.latency(endpoint.id) });
  }
  while (underWay.length > 0) {
    end();
  }
  return counts;
}

function evenLoad(seed: number, low: number, high: number, requests = 20_000): Load {
  const random = seeded(seed);
  return { requests, clients: 8, random, latency: () => low + random() * (high - low) };
}

for (const method of methods) {
  for (const count of [2, 3, 5, 10]) {
    test(`${method}: ${count} equal endpoints get equal load`, () => {
      for (const [low, high] of [
        [800, 3000],
        [20_000, 25_000],
      ] as const) {
        const counts = run(createPool(method, count), evenLoad(count, low, high));
        assert.ok(unevenness(counts) <= 1, `${low} to ${high} µs: ${counts.join(" ")}`);
      }
    });
  }

  test(`${method}: while one is set aside the others get equal load`, () => {
    for (const aside of [0, 1, 2, 3]) {
      const pool = createPool(method, 4);
      setAside(pool, aside);
      const counts = run(pool, evenLoad(aside + 1, 800, 3000));
      assert.equal(counts[aside], 0);
      counts.splice(aside, 1);
      assert.ok(unevenness(counts) <= 1, `${aside} is set aside: ${counts.join(" ")}`);
    }
  });

  test(`${method}: one endpoint gets everything, no endpoint nothing`, () => {
    assert.deepEqual(run(createPool(method, 1), evenLoad(1, 1000, 2000, 100)), [100]);
    assert.equal(take(createPool(method, 0), seeded(1), -1, 0), undefined);
  });

  test(`${method}: the endpoint that just failed is not taken while there is another`, () => {
    const random = seeded(7);
    for (const count of [2, 3, 8]) {
      const pool = createPool(method, count);
      for (let i = 0; i < 300; i++) {
        const except = i % count;
        const endpoint = take(pool, random, except, 0)!;
        assert.notEqual(endpoint.id, except);
        release(endpoint);
      }
    }
    assert.equal(take(createPool(method, 1), random, 0, 0)?.id, 0);
  });

  test(`${method}: when all are set aside one is tried, another than the one that just failed`, () => {
    const pool = createPool(method, 3);
    for (const id of [0, 1, 2]) {
      setAside(pool, id);
    }
    const random = seeded(3);
    const tried = new Set<number>();
    for (let i = 0; i < 200; i++) {
      tried.add(take(pool, random, -1, 0)!.id);
      assert.notEqual(take(pool, random, 1, 0)!.id, 1);
    }
    assert.equal(tried.size, 3);
  });
}

const byTime: readonly LbMethod[] = methods.filter((method) => method.includes("least_time"));
const byConnections: readonly LbMethod[] = ["least_conn", "random two", "random two least_conn"];

for (const method of [...byTime, ...byConnections]) {
  test(`${method}: an endpoint ten times slower gets much less`, () => {
    const random = seeded(5);
    const load: Load = {
      requests: 20_000,
      clients: 16,
      random,
      latency: (id) => (id === 0 ? 80_000 : 8000) * (0.9 + 0.2 * random()),
    };
    const counts = run(createPool(method, 4), load);
    const others = (counts[1]! + counts[2]! + counts[3]!) / 3;
    assert.ok(counts[0]! < others / 2, counts.join(" "));
    assert.ok(counts[0]! > 0, "it must be tried now and then, or nobody notices that it recovers");
  });
}

for (const method of ["round_robin", "random"] as const) {
  test(`${method}: looks neither at time nor at connections`, () => {
    const random = seeded(5);
    const latency = (id: number): number => (id === 0 ? 80_000 : 8000);
    const counts = run(createPool(method, 4), { requests: 20_000, clients: 16, random, latency });
    assert.ok(unevenness(counts) <= 1, counts.join(" "));
  });
}

test("least_time: with one request at a time the faster one gets nearly all; least_conn does not see it", () => {
  const latency = (id: number): number => (id === 0 ? 40_000 : 8000);
  const load = { requests: 2000, clients: 1, random: seeded(5), latency };
  const [byTime, byConnection] = [
    run(createPool("least_time", 2), load),
    run(createPool("least_conn", 2), load),
  ];
  assert.ok(byTime[0]! < 100, byTime.join(" "));
  assert.deepEqual(byConnection, [1000, 1000]);
});

test("least_time: endpoints that differ by less than double take turns, others do not", () => {
  const latency = (id: number): number => (id === 0 ? 20_000 : 35_000);
  const load = { requests: 1000, clients: 1, random: seeded(5), latency };
  assert.deepEqual(run(createPool("least_time", 2), load), [500, 500]);
  const further = run(createPool("least_time", 2), {
    ...load,
    latency: (id) => (id === 0 ? 20_000 : 50_000),
  });
  assert.ok(further[0]! > 800, further.join(" "));
});

test("least_time: an endpoint that became slow and recovers gets its share again", () => {
  const random = seeded(9);
  let slow = true;
  const latency = (id: number): number => (slow && id === 0 ? 200_000 : 8000) * (0.9 + 0.2 * random());
  const pool = createPool("least_time", 3);
  const during = run(pool, { requests: 6000, clients: 8, random, latency });
  slow = false;
  run(pool, { requests: 30_000, clients: 8, random, latency, from: 60 * second });
  const after = run(pool, { requests: 6000, clients: 8, random, latency, from: 120 * second });
  assert.ok(during[0]! < 600, during.join(" "));
  assert.ok(after[0]! > 1800 && after[0]! < 2200, after.join(" "));
});

for (const method of methods) {
  test(`${method}: an endpoint that was away is not flooded when it comes back`, () => {
    const pool = createPool(method, 4);
    setAside(pool, 0);
    run(pool, evenLoad(11, 800, 3000, 5000));
    pool.endpoints[0]!.retryAt = 0;
    pool.endpoints[0]!.failures = 0;
    pool.ailing = 0;
    const counts = run(pool, evenLoad(12, 800, 3000, 200));
    assert.ok(counts[0]! > 20 && counts[0]! < 90, counts.join(" "));
  });
}

test("back-off: 1 s, doubled by each failed probe up to 30 s; one probe each time", () => {
  for (const method of methods) {
    const pool = createPool(method, 2);
    const random = seeded(1);
    const dead = pool.endpoints[0]!;
    dead.inFlight = 1;
    let now = 0;
    refused(pool, dead, now);
    for (const pause of [1, 2, 4, 8, 16, 30, 30, 30]) {
      now += pause * second - 1;
      for (let i = 0; i < 50; i++) {
        assert.equal(take(pool, random, -1, now)?.id, 1, `${method}: before ${pause} s have passed`);
      }
      now += 1;
      const taken = Array.from({ length: 200 }, () => take(pool, random, -1, now)!.id);
      assert.equal(taken.filter((id) => id === 0).length, 1, `${method}: probes after ${pause} s`);
      refused(pool, dead, now);
      assert.equal(dead.inFlight, 0);
    }
  }
});

test("a request that has met one endpoint that is down probes no other while a healthy one is there", () => {
  for (const method of methods) {
    const pool = createPool(method, 4);
    refused(pool, pool.endpoints[0]!, 0);
    refused(pool, pool.endpoints[1]!, 0);
    for (let i = 0; i < 50; i++) {
      // the time to probe both has come
      const taken = take(pool, seeded(i), 0, 2 * second)!;
      assert.ok(taken.id >= 2, `${method}: ${taken.id} is taken`);
      release(taken);
    }
    refused(pool, pool.endpoints[2]!, 2 * second);
    refused(pool, pool.endpoints[3]!, 2 * second);
    assert.notEqual(take(pool, seeded(1), 0, 2 * second)?.id, 0, `${method}: when all are down, another one`);
  }
});

test("a probe that is answered ends the setting aside", () => {
  const pool = createPool("round_robin", 2);
  const dead = pool.endpoints[0]!;
  refused(pool, dead, 0);
  assert.equal(pool.ailing, 1);
  while (take(pool, seeded(1), -1, second)?.id !== 0);
  answered(pool, dead, 1000, second + 1000);
  assert.deepEqual([dead.failures, pool.ailing], [0, 0]);
  refused(pool, dead, 2 * second);
  assert.equal(dead.retryAt, 3 * second, "the back-off begins anew");
});

test("many attempts under way when the endpoint goes down count as one failure", () => {
  const pool = createPool("round_robin", 2);
  const dead = pool.endpoints[0]!;
  for (let i = 0; i < 40; i++) {
    take(pool, seeded(1), -1, 0);
  }
  for (let i = 0; i < 20; i++) {
    refused(pool, dead, i);
  }
  assert.deepEqual([dead.failures, dead.retryAt, dead.inFlight, pool.ailing], [1, second, 0, 1]);
});

test("the average follows a rise quickly and a fall slowly", () => {
  const pool = createPool("least_time", 1);
  const endpoint = pool.endpoints[0]!;
  answered(pool, endpoint, 10_000, 0);
  assert.equal(endpoint.average, 10_000);
  answered(pool, endpoint, 100_000, 1_000_000);
  // 1 s later a rise counts 1 - 1/e
  assert.ok(Math.abs(endpoint.average - (10_000 + 90_000 * (1 - Math.exp(-1)))) < 1e-6);
  const high = endpoint.average;
  answered(pool, endpoint, 10_000, 2_000_000);
  assert.ok(Math.abs(endpoint.average - (10_000 + (high - 10_000) * Math.exp(-0.2))) < 1e-6);
});

type Step =
  | { readonly kind: "take"; readonly except: number }
  | { readonly kind: "answered" | "refused" | "release"; readonly id: number }
  | { readonly kind: "wait"; readonly time: number };

function steps(count: number): fc.Arbitrary<Step[]> {
  const id = fc.nat(count - 1);
  const ending = fc.constantFrom("answered" as const, "refused" as const, "release" as const);
  return fc.array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant("take" as const),
          except: fc.integer({ min: -1, max: count - 1 }),
        }),
      },
      { weight: 3, arbitrary: fc.record({ kind: ending, id }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("wait" as const), time: fc.nat(5 * second) }) },
    ),
    { maxLength: 200 },
  );
}

function mayBeTaken(pool: Pool<BalancedEndpoint>, except: number, now: number): number[] {
  const others = pool.endpoints.filter(({ id }) => id !== except);
  const usable = others.filter(({ failures, retryAt }) => failures === 0 || (except < 0 && now >= retryAt));
  const last = others.length > 0 ? others : pool.endpoints;
  return (usable.length > 0 ? usable : last).map(({ id }) => id);
}

test("whatever happens: counts are right and only a permitted endpoint is taken", () => {
  const cases = fc
    .tuple(fc.constantFrom(...methods), fc.integer({ min: 1, max: 6 }), fc.nat())
    .chain(([method, count, seed]) => fc.tuple(fc.constant({ method, count, seed }), steps(count)));
  fc.assert(
    fc.property(cases, ([{ method, count, seed }, sequence]) => {
      const pool = createPool(method, count);
      const random = seeded(seed);
      const inFlight = pool.endpoints.map(() => 0);
      let now = 0;
      for (const step of sequence) {
        if (step.kind === "wait") {
          now += step.time;
        } else if (step.kind === "take") {
          const permitted = mayBeTaken(pool, step.except, now);
          const { id } = take(pool, random, step.except, now)!;
          assert.ok(permitted.includes(id), `${id} taken, permitted: ${permitted.join(" ")}`);
          inFlight[id] = inFlight[id]! + 1;
        } else {
          const endpoint = pool.endpoints[step.id]!;
          if (step.kind === "answered") {
            answered(pool, endpoint, 5000, now);
          } else if (step.kind === "refused") {
            refused(pool, endpoint, now);
          } else {
            release(endpoint);
          }
          inFlight[step.id] = Math.max(0, inFlight[step.id]! - 1);
        }
        assert.deepEqual(
          pool.endpoints.map((endpoint) => endpoint.inFlight),
          inFlight,
        );
        assert.equal(pool.ailing, pool.endpoints.filter(({ failures }) => failures > 0).length);
      }
    }),
    { numRuns: 300, seed: 1 },
  );
});

test("least_time: a slow first answer, with the handshake in it, does not shut an endpoint out; slow ones after it do", () => {
  const pool = createPool("least_time", 2);
  const [slow, quick] = pool.endpoints as [BalancedEndpoint, BalancedEndpoint];
  for (const [endpoint, sample] of [
    [slow, 40_000],
    [quick, 2_000],
  ] as const) {
    endpoint.inFlight = 1;
    answered(pool, endpoint, sample, 1_000_000);
  }
  const counts = run(pool, { ...evenLoad(5, 1000, 2000, 100) });
  assert.ok(Math.abs(counts[0]! - counts[1]!) <= 10, counts.join(" "));
  slow.inFlight = 1;
  answered(pool, slow, 400_000, slow.averagedAt + 400_000);
  assert.equal(take(pool, () => 0.5, -1, slow.averagedAt)?.id, quick.id);
});
