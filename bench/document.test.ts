import assert from "node:assert/strict";
import { test } from "node:test";
import { replaceSection } from "./document.ts";

const document = "# Title\n<!-- one -->\nold\n<!-- /one -->\nkept\n<!-- two -->\n<!-- /two -->\n";

test("only the section between its markers changes", () => {
  const changed = replaceSection(document, "one", "new\n");
  assert.equal(changed, "# Title\n<!-- one -->\n\nnew\n\n<!-- /one -->\nkept\n<!-- two -->\n<!-- /two -->\n");
  assert.equal(replaceSection(changed, "one", "new"), changed);
});

test("a document without the markers is an error, not a lost result", () => {
  assert.throws(() => replaceSection(document, "three", "text"), /no section "three"/);
});
