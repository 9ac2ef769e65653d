/** Leaving out what must not leave a cluster: keys, tokens, passwords. Pure. */

export const redacted = "<redacted>";

const secretWord =
  "(?:pass(?:word|wd|phrase)?|secret(?:[_-]?(?:access[_-]?)?(?:key|id))?|token|api[_-]?key|private[_-]?key|access[_-]?key(?:[_-]?id)?|credentials?|authorization|cookie)";

/** `password=…`, `"token": "…"`, `approle_secret_id = "…"`, in logs, URLs, HCL, YAML and JSON. */
const assignment = new RegExp(
  `((?:^|[^A-Za-z0-9])[A-Za-z0-9_.-]{0,60}${secretWord}["']?\\s*[:=]\\s*)("(?:[^"\\\\]|\\\\.)*"|'[^']*'|(?:(?:Bearer|Basic)\\s+)?[^\\s"',;&{}\\[\\])]+)`,
  "gi",
);

const patterns: readonly (readonly [RegExp, string])[] = [
  // a log may have cut the end off
  [/-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g, redacted],
  // RFC 7519: three parts, the first of which is a JSON object in base64url
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, redacted],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{8,}/gi, `$1 ${redacted}`],
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^/\s:@]+:[^/\s@]+@/gi, `$1${redacted}@`],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, redacted],
];

/** The text without what looks like a secret. */
export function redactText(text: string): string {
  let result = text;
  for (const [pattern, replacement] of patterns) {
    result = result.replace(pattern, replacement);
  }
  return result.replace(assignment, (_all, before: string, value: string) => {
    const quote = /^["']/.exec(value)?.[0] ?? "";
    return `${before}${quote}${redacted}${quote}`;
  });
}

const secretKey = new RegExp(`${secretWord}$`, "i");
/** Fields of Kubernetes that end like secrets and are names. */
const harmless = new Set(["secretName", "imagePullSecrets"]);

/** Whether a field, or a variable of an environment, of this name holds a secret. */
export function namesSecret(name: string): boolean {
  return !harmless.has(name) && secretKey.test(name);
}

/** An annotation that repeats the whole object, as its owner wrote it. */
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

function isNamedValue(value: object): value is { readonly name: string; readonly value: unknown } {
  return "name" in value && "value" in value && typeof value.name === "string";
}

/** The same structure with secrets replaced; what only machines read is left out. */
export function redactValue(value: unknown): unknown {
  if (typeof value === "string") {
    return redactText(value);
  }
  if (Array.isArray(value)) {
    return value.map(redactValue);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  const entries = Object.entries(value).filter(([key]) => key !== "managedFields" && key !== lastApplied);
  const secretVariable = isNamedValue(value) && namesSecret(value.name);
  return Object.fromEntries(
    entries.map(([key, inner]) => {
      const hide = (secretVariable && key === "value") || (namesSecret(key) && typeof inner === "string");
      return [key, hide ? redacted : redactValue(inner)];
    }),
  );
}

const ownContainers = new Set(["nginx-mesh-sidecar", "nginx-mesh-init"]);

interface AnyPod {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** An application's pod: of containers that are not the mesh's only names, images and ports stay, and of annotations the mesh's. */
export function redactApplication<T extends AnyPod>(pod: T): unknown {
  const containers = (value: unknown): unknown =>
    ((value ?? []) as readonly Readonly<Record<string, unknown>>[]).map((container) =>
      ownContainers.has(String(container["name"]))
        ? container
        : Object.fromEntries(
            ["name", "image", "ports", "restartPolicy", "resources"]
              .filter((key) => container[key] !== undefined)
              .map((key) => [key, container[key]]),
          ),
    );
  const annotations = Object.entries(pod.metadata.annotations ?? {}).filter(([key]) =>
    /(^|\.)nsm\.nginx\.com\/|^config\.nginx-mesh\//.test(key),
  );
  return redactValue({
    ...pod,
    metadata: { ...pod.metadata, annotations: Object.fromEntries(annotations) },
    spec: {
      ...pod.spec,
      containers: containers(pod.spec["containers"]),
      initContainers: containers(pod.spec["initContainers"]),
      ephemeralContainers: containers(pod.spec["ephemeralContainers"]),
    },
  });
}
