#!/usr/bin/env node
/**
 * A post-renderer of Helm: the chart's objects come in and go out, but the volume of the SPIRE server is a few MiB of memory, and
 * a container beside the server can fill it.
 */
import { text } from "node:stream/consumers";
import { parseAllDocuments, stringify } from "yaml";
import { appContainer } from "./app.ts";

/** Enough for the database of a small mesh. */
const size = "4Mi";

interface Volume {
  readonly name: string;
}

function withSmallVolume(object: any): unknown {
  if (object?.kind !== "StatefulSet") {
    return object;
  }
  const { spec } = object.spec.template;
  const volumes = (spec.volumes as readonly Volume[]).map((volume) =>
    volume.name === "spire-data"
      ? { name: volume.name, emptyDir: { medium: "Memory", sizeLimit: size } }
      : volume,
  );
  const filler = appContainer([], {
    name: "filler",
    command: ["sleep", "100000"],
    volumeMounts: [{ name: "spire-data", mountPath: "/data" }],
  });
  const changed = { ...spec, volumes, containers: [...spec.containers, filler] };
  return { ...object, spec: { ...object.spec, template: { ...object.spec.template, spec: changed } } };
}

// Kubernetes reads YAML 1.1
const documents = parseAllDocuments(await text(process.stdin), { version: "1.1", merge: true });
for (const document of documents) {
  process.stdout.write(`---\n${stringify(withSmallVolume(document.toJS()), { version: "1.1" })}`);
}
