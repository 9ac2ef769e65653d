/** What a failed question to an API server means, for people. Pure. */
import * as z from "zod";

/** What was being asked. */
export interface KubeQuestion {
  readonly method: string;
  readonly path: string;
}

const statusSchema = z.object({
  kind: z.literal("Status"),
  message: z.string().optional(),
  reason: z.string().optional(),
  details: z
    .object({ name: z.string().optional(), group: z.string().optional(), kind: z.string().optional() })
    .optional(),
});

/** The message of a Kubernetes Status object, else the beginning of the text. */
function messageOf(body: string): string {
  try {
    const status = statusSchema.parse(JSON.parse(body));
    return status.message ?? status.reason ?? "";
  } catch {
    return body.trim().split("\n")[0]?.slice(0, 300) ?? "";
  }
}

const verbs: Readonly<Record<string, string>> = {
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/** `list pods in namespace x`, `get deployments.apps "y" in namespace x`, as RBAC names them. */
export function describeQuestion({ method, path }: KubeQuestion): string {
  const [pathname = "", query = ""] = path.split("?");
  const parts = pathname.split("/").filter((part) => part !== "");
  const inGroup = parts[0] === "apis";
  const group = inGroup ? parts[1] : "";
  let rest = parts.slice(inGroup ? 3 : 2);
  let namespace: string | undefined;
  if (rest[0] === "namespaces" && rest.length > 2) {
    namespace = rest[1];
    rest = rest.slice(2);
  }
  const [resource, name, subresource] = rest;
  if (resource === undefined) {
    return `${method.toLowerCase()} ${pathname}`;
  }
  const watched = new URLSearchParams(query).has("watch");
  const verb = verbs[method] ?? (watched ? "watch" : name === undefined ? "list" : "get");
  const full = `${resource}${subresource === undefined ? "" : `/${subresource}`}${group ? `.${group}` : ""}`;
  return `${verb} ${full}${name === undefined ? "" : ` "${name}"`}${namespace === undefined ? "" : ` in namespace ${namespace}`}`;
}

/** What an answer with an error status means, and what to do. `whom` is the cluster. */
export function explainStatus(whom: string, question: KubeQuestion, status: number, body: string): string {
  const what = describeQuestion(question);
  const message = messageOf(body);
  const because = message === "" ? "" : `: ${message}`;
  switch (status) {
    case 401:
      return `${whom} does not accept the credentials of the kubeconfig (${what})${because}; log in anew`;
    case 403:
      return `${whom} does not allow this user to ${what}${because}; ask its administrator for a role that allows it`;
    case 404:
      return `${whom} has no such thing (${what})${because}`;
    case 429:
    case 503:
    case 504:
      return `${whom} is overloaded or starting (${what}, status ${status})${because}; try again`;
    default:
      return `${whom} refused to ${what} with status ${status}${because}`;
  }
}

const certificateProblems: Readonly<Record<string, string>> = {
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is of an authority that the kubeconfig does not name",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is of an authority that the kubeconfig does not name",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is of an authority that the kubeconfig does not name",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is of an authority that the kubeconfig does not name",
  CERT_SIGNATURE_FAILURE: "its certificate is of another authority than the kubeconfig names",
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; is this machine's clock right?",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name",
};

/** Why there was no answer at all. `timeout` in milliseconds. */
export function explainNoAnswer(whom: string, error: NodeJS.ErrnoException, timeout: number): string {
  const code = error.code ?? "";
  const certificate = certificateProblems[code];
  if (certificate !== undefined) {
    return `${whom} cannot be trusted: ${certificate} (${error.message})`;
  }
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `${whom} cannot be reached: its host name is not known (${code}); check the server in the kubeconfig`;
    case "ECONNREFUSED":
      return `${whom} cannot be reached: the connection was refused; is the API server running, and is this its address?`;
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return `${whom} cannot be reached: there is no way to its address (${code}); is a VPN needed?`;
    case "ABORT_ERR":
    case "ETIMEDOUT":
      return `${whom} did not answer within ${timeout / 1000} s; check the address and the network, --timeout gives it longer`;
    case "ECONNRESET":
    case "EPROTO":
    case "EPIPE":
      return `${whom} broke the connection off (${code}); does the server in the kubeconfig speak TLS?`;
    default:
      return `asking ${whom} failed: ${error.message}`;
  }
}
