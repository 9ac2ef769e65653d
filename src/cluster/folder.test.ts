import { strict as assert } from "node:assert";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { identify } from "../api/objects.ts";
import { FolderError, openFolder } from "./folder.ts";

async function withFolder(
  files: Readonly<Record<string, string>>,
  use: (folder: string, write: (name: string, text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "folder-"));
  const write = async (name: string, text: string): Promise<void> => {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  };
  try {
    for (const [name, text] of Object.entries(files)) {
      await write(name, text);
    }
    await use(folder, write);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function service(name: string, port = 80): string {
  return `apiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec: { ports: [{ port: ${port} }] }\n`;
}

async function names(folder: ReturnType<typeof openFolder>): Promise<string[]> {
  return (await folder.read()).objects.map((object) => identify(object).replace("Service default/", ""));
}

test("yaml, yml and json, in folders below, with several documents and Lists; nothing else", async () => {
  const files = {
    "a.yaml": `${service("a1")}---\n${service("a2")}`,
    "deep/er/b.yml": service("b"),
    "c.json": JSON.stringify({
      apiVersion: "v1",
      kind: "List",
      items: [{ apiVersion: "v1", kind: "Service", metadata: { name: "c" }, spec: {} }],
    }),
    "README.md": "no manifest",
    ".hidden.yaml": service("hidden"),
    "empty.yaml": "# nothing here\n",
  };
  await withFolder(files, async (path) => {
    const contents = await openFolder(path).read();
    assert.deepEqual(contents.problems, []);
    assert.deepEqual(
      contents.objects.map((object) => object.metadata.name),
      ["a1", "a2", "b", "c"],
    );
    assert.equal(contents.sources.get("Service default/b"), join(path, "deep/er/b.yml"));
  });
});

test("a folder that is not there, or without manifests, is an error", async () => {
  await withFolder({ "README.md": "" }, async (path) => {
    await assert.rejects(openFolder(path).read(), FolderError);
    await assert.rejects(openFolder(join(path, "missing")).read(), FolderError);
  });
});

test("what does not parse says where, and its file's last good objects stay", async () => {
  await withFolder({ "a.yaml": service("a"), "b.yaml": service("b") }, async (path, write) => {
    const folder = openFolder(path);
    await folder.read();
    await write("a.yaml", `${service("a", 81)}  wrong: [\n`);
    const { objects, problems } = await folder.read();
    assert.deepEqual(
      objects.map((object) => object.metadata.name),
      ["a", "b"],
    );
    assert.match(problems[0]!.object, /^a\.yaml:\d+:\d+$/);
    assert.match(problems[0]!.message, /line \d+, column \d+/);
    await write("a.yaml", service("a", 82));
    const fixed = await folder.read();
    assert.deepEqual(fixed.problems, []);
    assert.equal(JSON.stringify(fixed.objects[0]).includes('"port":82'), true);
  });
});

test("a broken object stays as it was, a removed one beside it goes", async () => {
  const text = [service("a"), service("b"), service("c")].join("---\n");
  await withFolder({ "all.yaml": text }, async (path, write) => {
    const folder = openFolder(path);
    await folder.read();
    await write("all.yaml", [service("a", 81), service("b").replace("port:", "prot:")].join("---\n"));
    const { objects, problems } = await folder.read();
    assert.deepEqual(
      objects.map((object) => [object.metadata.name, JSON.stringify(object).match(/"port":(\d+)/)?.[1]]),
      [
        ["a", "81"],
        ["b", "80"],
      ],
    );
    assert.deepEqual(
      problems.map((problem) => `${problem.object} ${problem.field}`),
      ["Service default/b spec.ports[0].port", "Service default/b spec.ports[0].prot"],
    );
  });
});

test("a file that is truncated for a moment loses nothing", async () => {
  await withFolder({ "a.yaml": service("a"), "b.yaml": service("b") }, async (path, write) => {
    const folder = openFolder(path);
    await folder.read();
    await write("a.yaml", "");
    const reading = names(folder);
    await delay(20);
    await write("a.yaml", service("a", 81));
    assert.deepEqual(await reading, ["a", "b"]);
  });
});

test("a file that is removed and made again loses nothing", async () => {
  await withFolder({ "a.yaml": service("a"), "b.yaml": service("b") }, async (path, write) => {
    const folder = openFolder(path);
    await folder.read();
    await rm(join(path, "b.yaml"));
    const reading = names(folder);
    await delay(20);
    await write("b.yaml", service("b", 81));
    assert.deepEqual(await reading, ["a", "b"]);
  });
});

test("what is removed is gone", async () => {
  await withFolder({ "a.yaml": service("a"), "b.yaml": service("b") }, async (path, write) => {
    const folder = openFolder(path);
    await folder.read();
    await write("a.yaml", "");
    assert.deepEqual(await names(folder), ["b"]);
    await write("c.yaml", service("c"));
    await rm(join(path, "b.yaml"));
    assert.deepEqual(await names(folder), ["c"]);
  });
});

test("two changes of equal length right after each other are both seen", async () => {
  await withFolder({ "a.yaml": service("a", 10) }, async (path, write) => {
    const folder = openFolder(path);
    for (let port = 11; port < 60; port += 1) {
      await write("a.yaml", service("a", port));
      const { objects } = await folder.read();
      assert.equal(JSON.stringify(objects).match(/"port":(\d+)/)?.[1], `${port}`);
    }
  });
});

test("of two objects with one name the first is used", async () => {
  await withFolder({ "a.yaml": service("a", 1), "b.yaml": service("a", 2) }, async (path) => {
    const { objects, problems } = await openFolder(path).read();
    assert.equal(objects.length, 1);
    assert.match(problems[0]!.message, /defined in a\.yaml:1 and again in b\.yaml:1/);
  });
});
