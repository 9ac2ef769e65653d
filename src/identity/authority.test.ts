import "reflect-metadata";
import { strict as assert } from "node:assert";
import { X509Certificate as NodeCertificate } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BasicConstraintsExtension, X509Certificate } from "@peculiar/x509";
import { type Authority, type AuthorityOptions, openAuthority, type Svid } from "./authority.ts";
import { caKeyTypes } from "./certificates.ts";

const hour = 3_600_000;
const spiffeId = "spiffe://example.org/ns/shop/sa/cart";

let parent: string;
let folders = 0;

before(async () => {
  parent = await mkdtemp(join(tmpdir(), "authority-"));
});

after(() => rm(parent, { recursive: true }));

/** An authority with a clock that only the test moves. */
async function open(options: Partial<AuthorityOptions> = {}) {
  const clock = { now: Date.now() };
  const settings: AuthorityOptions = {
    directory: join(parent, String((folders += 1))),
    trustDomain: "example.org",
    caKeyType: "ec-p256",
    caTtlSeconds: 24 * 3600,
    overlapSeconds: 600,
    now: () => new Date(clock.now),
    ...options,
  };
  return { authority: await openAuthority(settings), settings, clock };
}

function parse(certificate: Uint8Array | undefined): NodeCertificate {
  return new NodeCertificate(certificate ?? new Uint8Array());
}

function leaf(svid: Svid): NodeCertificate {
  return parse(svid.certificates[0]);
}

/** The authority of the bundle that signed it. */
function signer(svid: Svid, authority: Authority): NodeCertificate | undefined {
  return authority
    .bundle()
    .map(parse)
    .find((candidate) => leaf(svid).verify(candidate.publicKey));
}

for (const caKeyType of caKeyTypes) {
  test(`an authority with a key of type ${caKeyType} issues SVIDs that its bundle verifies`, async () => {
    const { authority } = await open({ caKeyType });
    const svid = await authority.issue({ spiffeId, ttlSeconds: 3600 });
    const issuer = signer(svid, authority);
    assert.ok(issuer);
    assert.ok(leaf(svid).checkIssued(issuer));
    assert.equal(issuer.publicKey.asymmetricKeyType, caKeyType.startsWith("ec") ? "ec" : "rsa");
    await authority.close();
  });
}

test("an SVID is what the X509-SVID standard asks for", async () => {
  const { authority, clock } = await open();
  const svid = await authority.issue({ spiffeId, ttlSeconds: 3600 });
  const certificate = leaf(svid);
  assert.equal(certificate.subjectAltName, `URI:${spiffeId}`);
  const constraints = new X509Certificate(certificate.raw).getExtension(BasicConstraintsExtension);
  assert.deepEqual([constraints?.ca, constraints?.critical], [false, true]);
  assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  assert.equal(svid.notAfter.getTime(), Math.floor(clock.now / 1000) * 1000 + hour);
  assert.equal(certificate.validToDate.getTime(), svid.notAfter.getTime());
  assert.ok(certificate.validFromDate.getTime() < clock.now);
  assert.ok(certificate.validFromDate.getTime() > clock.now - 60_000);
  await authority.close();
});

test("the authority's own certificate names the trust domain and may sign, but nothing below it may", async () => {
  const { authority } = await open();
  const certificate = parse(authority.bundle()[0]);
  assert.equal(certificate.subjectAltName, "URI:spiffe://example.org");
  assert.equal(certificate.ca, true);
  assert.ok(certificate.verify(certificate.publicKey));
  const constraints = new X509Certificate(certificate.raw).getExtension(BasicConstraintsExtension);
  assert.equal(constraints?.pathLength, 0);
  await authority.close();
});

test("no two SVIDs share a serial number or a key", async () => {
  const { authority } = await open();
  const svids = await Promise.all(
    Array.from({ length: 20 }, () => authority.issue({ spiffeId, ttlSeconds: 60 })),
  );
  assert.equal(new Set(svids.map((svid) => leaf(svid).serialNumber)).size, 20);
  assert.equal(new Set(svids.map((svid) => Buffer.from(svid.key.reveal()).toString("hex"))).size, 20);
  await authority.close();
});

const refused = [
  "spiffe://example.org",
  "spiffe://example.com/ns/shop/sa/cart",
  "spiffe://example.org/../shop",
  "https://example.org/shop",
];

for (const id of refused) {
  test(`no SVID is issued for ${id}`, async () => {
    const { authority } = await open();
    await assert.rejects(async () => authority.issue({ spiffeId: id, ttlSeconds: 60 }), {
      name: "SpiffeIdError",
    });
    await authority.close();
  });
}

test("an SVID does not outlive its authority", async () => {
  const { authority, clock } = await open({ caTtlSeconds: 3600 });
  const svid = await authority.issue({ spiffeId, ttlSeconds: 7200 });
  assert.equal(svid.notAfter.getTime(), Math.floor((clock.now + hour) / 1000) * 1000);
  await authority.close();
});

test("the folder and what is in it are for the owner only, and the key is not in the open", async () => {
  const { authority, settings } = await open();
  assert.equal((await stat(settings.directory)).mode & 0o777, 0o700);
  assert.deepEqual(await readdir(settings.directory), ["authority.json"]);
  assert.equal((await stat(join(settings.directory, "authority.json"))).mode & 0o777, 0o600);
  await authority.close();
});

test("an authority is the same after it was closed and opened again", async () => {
  const { authority, settings } = await open();
  const bundle = authority.bundle().map(Buffer.from);
  await authority.close();
  const again = await openAuthority(settings);
  assert.deepEqual(again.bundle().map(Buffer.from), bundle);
  await again.close();
});

test("a folder of another trust domain is refused", async () => {
  const { authority, settings } = await open();
  await authority.close();
  await assert.rejects(openAuthority({ ...settings, trustDomain: "example.com" }), {
    name: "AuthorityStoreError",
    message: /belongs to the trust domain example\.org, not to example\.com/,
  });
});

test("a damaged file is refused and kept, and the message does not repeat it", async () => {
  const { authority, settings } = await open();
  await authority.close();
  const path = join(settings.directory, "authority.json");
  const damaged = (await readFile(path, "utf8")).slice(0, -30);
  await writeFile(path, damaged);
  await assert.rejects(openAuthority(settings), (error: Error) => {
    return (
      error.name === "AuthorityStoreError" && error.message.includes(path) && !error.message.includes("MIG")
    );
  });
  assert.equal(await readFile(path, "utf8"), damaged);
});

test("rotate publishes first and signs after the overlap", async () => {
  const { authority, clock } = await open();
  let changes = 0;
  const stop = authority.onChange(() => (changes += 1));
  const [old] = authority.bundle();
  await authority.rotate();
  assert.equal(authority.bundle().length, 2);
  assert.equal(changes, 1);
  const during = await authority.issue({ spiffeId, ttlSeconds: 3600 });
  assert.equal(signer(during, authority)?.serialNumber, parse(old).serialNumber);
  clock.now += 600_000;
  const afterwards = await authority.issue({ spiffeId, ttlSeconds: 3600 });
  assert.notEqual(signer(afterwards, authority)?.serialNumber, parse(old).serialNumber);
  assert.ok(signer(during, authority), "the old authority left while its SVIDs are valid");
  assert.equal(changes, 1);
  clock.now += hour;
  await authority.check();
  assert.equal(authority.bundle().length, 1);
  assert.equal(changes, 2);
  stop();
  await authority.close();
});

test("rotate does nothing while another authority waits to sign", async () => {
  const { authority } = await open();
  await Promise.all([authority.rotate(), authority.rotate()]);
  assert.equal(authority.bundle().length, 2);
  await authority.close();
});

test("an authority that was opened again keeps the old one until its SVIDs have expired", async () => {
  const { authority, settings, clock } = await open();
  await authority.issue({ spiffeId, ttlSeconds: 3600 });
  await authority.rotate();
  await authority.close();
  clock.now += hour - 60_000;
  const again = await openAuthority(settings);
  assert.equal(again.bundle().length, 2);
  clock.now += 2 * hour;
  await again.check();
  assert.equal(again.bundle().length, 1);
  await again.close();
});

test("most SVIDs cost no write", async () => {
  const { authority, settings, clock } = await open();
  const path = join(settings.directory, "authority.json");
  const contents = new Set<string>();
  for (let minute = 0; minute < 120; minute += 1) {
    await authority.issue({ spiffeId, ttlSeconds: 3600 });
    contents.add(await readFile(path, "utf8"));
    clock.now += 60_000;
  }
  assert.equal(contents.size, 2);
  await authority.close();
});

test("an authority renews itself by its timer before it expires, and SVIDs go on", async () => {
  const { authority } = await open({ caTtlSeconds: 4, overlapSeconds: 1, now: () => new Date() });
  const first = parse(authority.bundle()[0]).serialNumber;
  const svids: Svid[] = [];
  while (parse(authority.bundle()[0]).serialNumber === first) {
    svids.push(await authority.issue({ spiffeId, ttlSeconds: 2 }));
    assert.ok(signer(svids.at(-1) as Svid, authority));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(svids.length > 5);
  await authority.close();
});

test("issuing goes on while the disk fails, and the failure is told", async () => {
  const errors: Error[] = [];
  const { authority, settings, clock } = await open({ onError: (error) => errors.push(error) });
  await rm(settings.directory, { recursive: true });
  await writeFile(settings.directory, "");
  clock.now += 13 * hour;
  const svid = await authority.issue({ spiffeId, ttlSeconds: 3600 });
  assert.ok(signer(svid, authority));
  assert.equal(errors[0]?.name, "AuthorityStoreError");
  await chmod(settings.directory, 0o600);
  await authority.close();
});
