/** A definition (CRD) of an older or newer release: the kind is there, in versions that this program does not read. */
import * as z from "zod";
import { type ApiServer, isStatus } from "./api-server.ts";
import { type Resource, resourceName } from "./resources.ts";

const group = z.object({ versions: z.array(z.object({ version: z.string() })) });
const resources = z.object({ resources: z.array(z.object({ name: z.string() })) });

async function sendOrNone(api: ApiServer, path: string): Promise<unknown> {
  try {
    return await api.send({ method: "GET", path });
  } catch (error) {
    if (isStatus(error, 404)) {
      return undefined;
    }
    throw error;
  }
}

/** Versions in which the API server has the resource (Kubernetes API Concepts, "API discovery"). Throws ApiError. */
async function versionsOf(api: ApiServer, resource: Resource): Promise<readonly string[]> {
  const root = `/apis/${resource.group}`;
  const found = await sendOrNone(api, root);
  const versions = found === undefined ? [] : group.parse(found).versions.map(({ version }) => version);
  const having: string[] = [];
  for (const version of versions) {
    const list = await sendOrNone(api, `${root}/${version}`);
    if (list !== undefined && resources.parse(list).resources.some(({ name }) => name === resource.plural)) {
      having.push(version);
    }
  }
  return having;
}

/** A sentence when the API server has the resource in other versions only; empty: it has none. Throws ApiError. */
export async function otherVersions(api: ApiServer, resource: Resource): Promise<string> {
  const versions = resource.group === "" ? [] : await versionsOf(api, resource);
  return versions.length === 0
    ? ""
    : `cannot read ${resourceName(resource)}: the API server has it in version ${versions.join(", ")}, and this program reads ${resource.versions.join(", ")}; install the definitions (CRDs) of the mesh's own release, as "nginx-meshctl upgrade" does`;
}
