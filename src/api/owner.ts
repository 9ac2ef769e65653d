/** Whom a pod belongs to: the injector and the control plane must name the workload alike. */

/** What of a pod's metadata tells its owner. */
export interface OwnedMetadata {
  readonly name?: string | null | undefined;
  readonly labels?: Readonly<Record<string, string>> | null | undefined;
  readonly ownerReferences?:
    | readonly {
        readonly kind: string;
        readonly name: string;
        readonly controller?: boolean | null | undefined;
      }[]
    | null
    | undefined;
}

/** `kind` in lower case, as `deployment`. */
export interface Owner {
  readonly kind: string;
  readonly name: string;
}

/** Label that the Deployment controller gives to a ReplicaSet's pods; the ReplicaSet's name ends with it. */
const templateHash = "pod-template-hash";

/**
 * The workload that a pod is one of: its controller, and for the ReplicaSet of a Deployment that Deployment, which the
 * name of the ReplicaSet tells (`DEPLOYMENT-HASH`, with the hash as the pod's label). Undefined: the pod stands for
 * itself.
 */
export function ownerOf(metadata: OwnedMetadata): Owner | undefined {
  const references = metadata.ownerReferences ?? [];
  const owner = references.find((reference) => reference.controller === true) ?? references[0];
  if (owner === undefined) {
    return undefined;
  }
  const ending = `-${metadata.labels?.[templateHash] ?? ""}`;
  return owner.kind === "ReplicaSet" && ending.length > 1 && owner.name.endsWith(ending)
    ? { kind: "deployment", name: owner.name.slice(0, -ending.length) }
    : { kind: owner.kind.toLowerCase(), name: owner.name };
}
