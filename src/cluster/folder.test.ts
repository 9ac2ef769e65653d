import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
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

const named = `apiVersion: v1
kind: Service
metadata:
  name: a
  namespace: shop
spec: { ports: [{ port: 80 }] }
`;

/** Edit → the text that comes of it, in which nothing can be told to be Service shop/a. */
const edits: readonly (readonly [string, string])[] = [
  ["without a kind", named.replace("kind: Service\n", "")],
  ["a misspelt kind", named.replace("Service", "Servic")],
  ["a misspelt apiVersion", named.replace("v1", "v11")],
  ["a name that is a number", named.replace("name: a", "name: 5")],
  ["a name that none can have", named.replace("name: a", "name: A_")],
  ["without a name", named.replace("  name: a\n", "")],
  ["a namespace that none can have", named.replace("shop", "Shop")],
  ["half written", named.slice(0, named.indexOf("kind"))],
  ["written up to the name", named.slice(0, named.indexOf("  namespace"))],
];

for (const [edit, text] of edits) {
  test(`${edit}: the object stays as it was until it is mended or removed`, async () => {
    await withFolder({ "a.yaml": named, "b.yaml": service("b") }, async (path, write) => {
      const folder = openFolder(path);
      const read = async () => (await folder.read()).objects.map((object) => identify(object));
      await read();
      for (const broken of [text, `# still\n${text}`, `${text}# still\n`]) {
        await write("a.yaml", broken);
        assert.deepEqual(await read(), ["Service default/b", "Service shop/a"]);
      }
      await write("a.yaml", named.replace("name: a", "name: c"));
      assert.deepEqual(await read(), ["Service default/b", "Service shop/c"]);
    });
  });
}

test("what is removed goes, also from beside what was broken or of no use before", async () => {
  const broken = service("Broken");
  const other = `apiVersion: example.com/v1\nkind: Thing\nmetadata: { name: a }\n`;
  const text = [service("a"), broken, other].join("---\n");
  await withFolder({ "a.yaml": text, "b.yaml": service("b") }, async (path, write) => {
    const folder = openFolder(path);
    assert.deepEqual(await names(folder), ["a", "b"]);
    await write("a.yaml", [broken, other].join("---\n"));
    assert.deepEqual(await names(folder), ["b"]);
  });
});

test("a pipe is told and not waited for; links are followed", async () => {
  await withFolder({ "a.yaml": service("a"), "..data/b": service("b") }, async (path) => {
    execFileSync("mkfifo", [join(path, "pipe.yaml")]);
    await symlink("..data/b", join(path, "b.yaml"));
    await symlink("pipe.yaml", join(path, "to-pipe.yaml"));
    const { objects, problems } = await openFolder(path).read();
    assert.deepEqual(
      objects.map((object) => object.metadata.name),
      ["a", "b"],
    );
    assert.deepEqual(
      problems.map(({ object, message }) => `${object} ${message}`),
      ["pipe.yaml is no regular file, and not read", "to-pipe.yaml is no regular file, and not read"],
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
