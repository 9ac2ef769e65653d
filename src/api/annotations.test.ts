import { strict as assert } from "node:assert";
import { test } from "node:test";
import { readBodySize, readLbMethod, readMtlsMode, readPorts } from "./annotations.ts";

const sizes: readonly [string, number | undefined][] = [
  ["0", 0],
  ["1", 1],
  ["64k", 65536],
  ["64K", 65536],
  ["10m", 10 * 1024 * 1024],
  ["2g", 2 * 1024 ** 3],
  ["", undefined],
  ["-1", undefined],
  ["1.5m", undefined],
  ["10mb", undefined],
  ["99999999999999999g", undefined],
];

for (const [text, bytes] of sizes) {
  test(`client-max-body-size "${text}"`, () => {
    const reading = readBodySize(text);
    assert.equal("value" in reading ? reading.value : undefined, bytes);
    assert.equal("error" in reading, bytes === undefined);
  });
}

test("a value that is not written is no value and no error", () => {
  for (const read of [readBodySize, readLbMethod, readMtlsMode, readPorts]) {
    assert.deepEqual(read(undefined), { value: undefined });
  }
});

test("modes and methods are exact", () => {
  assert.deepEqual(readMtlsMode("strict"), { value: "strict" });
  assert.ok("error" in readMtlsMode("STRICT"));
  assert.deepEqual(readLbMethod("random two least_time=last_byte"), {
    value: "random two least_time=last_byte",
  });
  assert.ok("error" in readLbMethod("random  two"));
});

test("ports", () => {
  assert.deepEqual(readPorts("80"), { value: [80] });
  assert.deepEqual(readPorts(" 80, 443 "), { value: [80, 443] });
  assert.deepEqual(readPorts(""), { value: undefined });
  for (const text of ["0", "65536", "80,", "a", "80;81", "80-90"]) {
    assert.ok("error" in readPorts(text), text);
  }
});
