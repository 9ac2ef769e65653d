import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { activationTime, type AuthorityTimes, dueSteps, nextDue, signingAuthority } from "./rotation.ts";

const settings = { keyType: "ec-p256", overlap: 10 } as const;

function authority(times: Partial<AuthorityTimes> = {}): AuthorityTimes {
  return { keyType: "ec-p256", notBefore: 0, notAfter: 1000, signsFrom: 0, svidsUntil: 0, ...times };
}

test("the first authority signs at once", () => {
  assert.deepEqual(dueSteps([], settings, 5), { remove: [], create: { signsFrom: 5 } });
});

test("nothing is due in the first half of an authority's life", () => {
  assert.deepEqual(dueSteps([authority()], settings, 499), { remove: [] });
  assert.equal(nextDue([authority()], 499), 500);
});

test("at half of its life a successor is published, which signs after the overlap", () => {
  assert.deepEqual(dueSteps([authority()], settings, 500), { remove: [], create: { signsFrom: 510 } });
});

test("another key type is taken up without waiting for half of the life", () => {
  const due = dueSteps([authority({ keyType: "rsa-2048" })], settings, 100);
  assert.deepEqual(due, { remove: [], create: { signsFrom: 110 } });
});

test("there is one successor at a time", () => {
  const waiting = authority({ notBefore: 500, notAfter: 1500, signsFrom: 510 });
  assert.deepEqual(dueSteps([authority(), waiting], settings, 505), { remove: [] });
  assert.equal(nextDue([authority(), waiting], 505), 510);
});

test("an overlap is at most a quarter of the life, and never outlasts the one that signs", () => {
  assert.equal(activationTime(authority(), { ...settings, overlap: 900 }, 500), 750);
  assert.equal(activationTime(authority(), { ...settings, overlap: 900 }, 900), 1000);
});

test("the old authority stays until its last SVID has expired", () => {
  const old = authority({ svidsUntil: 700 });
  const successor = authority({ notBefore: 500, notAfter: 1500, signsFrom: 510 });
  assert.equal(signingAuthority([old, successor], 600), successor);
  assert.deepEqual(dueSteps([old, successor], settings, 699).remove, []);
  assert.equal(nextDue([old, successor], 699), 700);
  assert.deepEqual(dueSteps([old, successor], settings, 700).remove, [old]);
});

test("after a long pause an expired authority is replaced at once", () => {
  const old = authority({ svidsUntil: 900 });
  assert.deepEqual(dueSteps([old], settings, 2000), { remove: [old], create: { signsFrom: 2000 } });
});

test("over any sequence of looks at the clock there is a signer, known to all for the overlap, and no SVID loses its authority", () => {
  const steps = fc.array(fc.integer({ min: 1, max: 120 }), { maxLength: 100 });
  fc.assert(
    fc.property(
      steps,
      fc.integer({ min: 0, max: 400 }),
      fc.integer({ min: 1, max: 300 }),
      (pauses, overlap, ttl) => {
        let now = 0;
        let authorities: (AuthorityTimes & { readonly publishedAt: number })[] = [];
        for (const pause of pauses) {
          now += pause;
          const due = dueSteps(authorities, { keyType: "ec-p256", overlap }, now);
          for (const removed of due.remove) {
            assert.ok(removed.svidsUntil <= now, "an SVID lost its authority");
          }
          authorities = authorities.filter((entry) => !due.remove.includes(entry));
          if (due.create !== undefined) {
            const life = { notBefore: now, notAfter: now + 1000, svidsUntil: 0 };
            authorities.push({ keyType: "ec-p256", ...life, ...due.create, publishedAt: now });
          }
          const signing = signingAuthority(authorities, now);
          assert.ok(signing !== undefined, "nobody signs");
          assert.ok(nextDue(authorities, now) > now);
          const genesis = signing.publishedAt === pauses[0];
          assert.ok(
            genesis || signing.signsFrom - signing.publishedAt >= Math.min(overlap, 250),
            "it signs too early",
          );
          const svidsUntil = Math.max(signing.svidsUntil, Math.min(now + ttl, signing.notAfter));
          authorities = authorities.map((entry) => (entry === signing ? { ...entry, svidsUntil } : entry));
        }
      },
    ),
  );
});
