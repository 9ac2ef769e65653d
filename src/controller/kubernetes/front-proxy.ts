/**
 * Requests that the API server passes on to an aggregated API (Kubernetes documentation, "Configure the Aggregation
 * Layer"). The API server has authenticated and authorized who asks; here only the API server itself must be known, by its
 * client certificate.
 */
import { X509Certificate } from "node:crypto";
import type { RequestListener } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import * as z from "zod";
import { type ApiServer, isStatus } from "../../cluster/kubernetes/api-server.ts";

/** Whose certificates are the API server's. */
export interface FrontProxy {
  readonly authorities: readonly X509Certificate[];
  /** Common names; none: any. */
  readonly names: readonly string[];
}

const path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
/** Milliseconds. */
const rereadMilliseconds = 600_000;
const retryMilliseconds = 5_000;

const configMap = z.object({
  data: z.object({
    "requestheader-client-ca-file": z.string().min(1),
    "requestheader-allowed-names": z
      .string()
      .default("[]")
      .transform((text) => z.array(z.string()).parse(JSON.parse(text))),
  }),
});

const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Throws for what is not that ConfigMap. */
export function readFrontProxy(raw: unknown): FrontProxy {
  const { data } = configMap.parse(raw);
  return {
    authorities: (data["requestheader-client-ca-file"].match(pem) ?? []).map(
      (text) => new X509Certificate(text),
    ),
    names: data["requestheader-allowed-names"],
  };
}

/** Whether the certificate is the API server's, at a moment (milliseconds since 1970). */
export function isFrontProxy(proxy: FrontProxy, certificate: X509Certificate, now: number): boolean {
  const { validFromDate, validToDate, subject } = certificate;
  const valid = validFromDate.getTime() <= now && now <= validToDate.getTime();
  const name = /^CN=(.*)$/m.exec(subject)?.[1] ?? "";
  const signed = proxy.authorities.some(
    (authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey),
  );
  return valid && signed && (proxy.names.length === 0 || proxy.names.includes(name));
}

function explain(error: unknown): string {
  const what = "cannot read who the API server is to an aggregated API, so the metrics API answers nobody";
  return isStatus(error, 403)
    ? `${what}: access is denied; bind the Role extension-apiserver-authentication-reader of kube-system to the controller's ServiceAccount (${error.message})`
    : `${what}: ${(error as Error).message}`;
}

export interface FrontProxyWatch {
  current(): FrontProxy | undefined;
  close(): void;
}

/** Reads it again now and then, as certificates are replaced. */
export function watchFrontProxy(api: ApiServer, onError: (message: string) => void): FrontProxyWatch {
  const closed = new AbortController();
  let current: FrontProxy | undefined;
  const read = async (): Promise<number> => {
    try {
      current = readFrontProxy(await api.send({ method: "GET", path }));
      onError("");
      return rereadMilliseconds;
    } catch (error) {
      onError(explain(error));
      return retryMilliseconds;
    }
  };
  const run = async (): Promise<void> => {
    while (!closed.signal.aborted) {
      const wait = await read();
      await sleep(wait, undefined, { signal: closed.signal }).catch(() => undefined);
    }
  };
  void run();
  return { current: () => current, close: () => closed.abort() };
}

function refuse(response: Parameters<RequestListener>[1], code: number, message: string): void {
  const body = { kind: "Status", apiVersion: "v1", status: "Failure", message, code };
  response.writeHead(code, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}

/** Lets through to `listener` what comes from the API server. */
export function behindFrontProxy(watch: FrontProxyWatch, listener: RequestListener): RequestListener {
  return (request, response) => {
    const proxy = watch.current();
    const certificate = (request.socket as TLSSocket).getPeerX509Certificate();
    if (proxy === undefined) {
      refuse(response, 503, "the controller does not know yet who the API server is");
    } else if (certificate === undefined || !isFrontProxy(proxy, certificate, Date.now())) {
      refuse(response, 401, "only the API server may ask here: use `kubectl get --raw` or nginx-meshctl");
    } else {
      listener(request, response);
    }
  };
}
