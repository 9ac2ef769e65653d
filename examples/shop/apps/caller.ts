/** Who called, as the mesh says: the sidecar sets this header, and a client cannot forge it. */

const header = "x-forwarded-client-cert";

/** The caller's SPIFFE ID, from `By=…;URI=spiffe://…`; empty when the call came in plain text. */
export function callerOf(value: string | readonly string[] | undefined): string {
  const text = typeof value === "string" ? value : (value?.[0] ?? "");
  return /(?:^|;)URI=([^;]*)/.exec(text)?.[1] ?? "";
}

export { header as callerHeader };
