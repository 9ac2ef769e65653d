/** Images that are not there: whoever looks sees which. How long a registry takes to say no is its own affair. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { app } from "./app.ts";
import { inNamespace, until } from "./fixture.ts";
import { ensureMesh, injected, installMesh, uninstallMesh } from "./mesh.ts";
import { runMeshctl } from "./meshctl.ts";

before(() => ensureMesh());

test("a sidecar's image that is not there: the pod's events say which", async () => {
  const image = "testbed.local/nginx-mesh-sidecar:not-there";
  await installMesh({ "images.sidecar": image });
  try {
    await inNamespace(injected, async (namespace) => {
      await namespace.apply(...app({ name: "server" }));
      const message = await until("an event about the image", 90, async () => {
        const where = ["get", "events", "--field-selector=reason=Failed"];
        const text = await namespace.kubectl(...where, "--output=jsonpath={.items[*].message}");
        return text.includes(image) ? text : undefined;
      });
      assert.match(message, /image/i);
    });
  } finally {
    await ensureMesh();
  }
});

test("deploy of images that are not there ends in time, and says which", async () => {
  await uninstallMesh();
  const tag = "not-there";
  const registry = ["--registry-server", "testbed.local", "--disable-public-images"];
  try {
    const ended = await runMeshctl(["deploy", ...registry, "--image-tag", tag, "--timeout", "20s"]);
    assert.equal(ended.status, 1, ended.stdout + ended.stderr);
    assert.match(ended.stderr, new RegExp(`nginx-mesh-controller:${tag}`));
    assert.match(ended.stderr, /installed, but not ready in time/);
  } finally {
    await uninstallMesh();
  }
});
