/**
 * The HTTPS server that the API server asks: `/inject` and `/validate`, with a certificate that it looks after itself.
 * Other paths go to `otherwise`, as the metrics API has the same port.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { MeshObject } from "../api/objects.ts";
import { type CertificateStore, keepCertificate } from "./certificate-keeper.ts";
import { decideInjection, type InjectionWorld } from "./injection.ts";
import { type AdmissionRequest, type Decision, readReview, reviewResponse } from "./review.ts";
import { decideValidation } from "./validate.ts";
import type { StoredCertificate } from "./webhook-certificate.ts";

export interface AdmissionOptions {
  /** Namespace of the mesh, and so of the webhook's Services. */
  readonly namespace: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Default: all addresses. */
  readonly host?: string;
  readonly store: CertificateStore;
  readonly injection: InjectionWorld;
  /** The objects that are known now. */
  readonly objects: () => readonly MeshObject[];
  readonly otherwise: RequestListener;
  readonly log: (level: "info" | "error", message: string) => void;
  /** Milliseconds between two looks at the certificate; default 10 s. */
  readonly certificatePeriod?: number;
}

export interface Admission {
  readonly server: Server;
  /** Whether the server has a certificate; it answers nobody before. */
  readonly ready: boolean;
  /** Looks at the certificate at once, as after a change of what it is written into. */
  look(): Promise<void>;
  close(): Promise<void>;
}

/** Services whose names the certificate has; both lead to the one port. */
const services = ["nginx-mesh-webhook", "nginx-mesh-metrics"];

/** An object has 3 MiB at most in the API server (etcd's limit is 1.5), and an update brings two. */
const mostBytes = 8 * 1024 * 1024;
/** The API server asks with 30 s at most. */
const requestMilliseconds = 30_000;

function namesIn(namespace: string): readonly string[] {
  return services.map((service) => `${service}.${namespace}.svc`);
}

function answer(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) });
  response.end(text);
}

function refuse(response: ServerResponse, status: number, message: string): void {
  answer(response, status, "text/plain", `${message}\n`);
}

/** The body; undefined: it is too long. Rejects when the client goes away. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > mostBytes) {
      return undefined;
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

type Decide = (request: AdmissionRequest) => Decision;

async function reply(request: IncomingMessage, response: ServerResponse, decide: Decide): Promise<void> {
  if (request.method !== "POST") {
    refuse(response, 405, "an AdmissionReview comes by POST");
    return;
  }
  if (!/^application\/json\b/.test(request.headers["content-type"] ?? "")) {
    refuse(response, 415, "an AdmissionReview has the content type application/json");
    return;
  }
  const text = await bodyOf(request);
  if (text === undefined) {
    response.setHeader("connection", "close");
    response.on("finish", () => request.destroy());
    refuse(response, 413, `the AdmissionReview is longer than ${mostBytes} bytes`);
    return;
  }
  const review = readReview(text);
  if ("error" in review) {
    refuse(response, 400, review.error);
    return;
  }
  const body = reviewResponse(review.request.uid, decide(review.request));
  answer(response, 200, "application/json", JSON.stringify(body));
}

function context(stored: StoredCertificate) {
  return { cert: stored.certificate, key: Buffer.from(stored.key.reveal()) };
}

function listenerOf(options: AdmissionOptions): RequestListener {
  const paths: Readonly<Record<string, Decide>> = {
    "/inject": (request) => decideInjection(request, options.injection),
    "/validate": (request) => decideValidation(request, options.objects()),
  };
  return (request, response) => {
    const path = (request.url ?? "/").split("?", 1)[0]!;
    const decide = Object.hasOwn(paths, path) ? paths[path] : undefined;
    if (decide === undefined) {
      options.otherwise(request, response);
      return;
    }
    reply(request, response, decide).catch((error: Error) => {
      options.log("error", `cannot answer ${path}: ${error.message}`);
      response.destroy();
    });
  };
}

/**
 * Listens at once; rejects when the port cannot be had. The certificate comes as soon as the API server lets it be read or
 * written.
 */
export async function createAdmission(options: AdmissionOptions): Promise<Admission> {
  const server = createServer(
    // other paths may be for those only that show a certificate; whom they trust is theirs
    {
      minVersion: "TLSv1.2",
      requestTimeout: requestMilliseconds,
      requestCert: true,
      rejectUnauthorized: false,
    },
    listenerOf(options),
  );
  const keeper = keepCertificate({
    store: options.store,
    names: namesIn(options.namespace),
    use: (certificate) => server.setSecureContext(context(certificate)),
    log: options.log,
    ...(options.certificatePeriod === undefined ? {} : { periodMilliseconds: options.certificatePeriod }),
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(
      { port: options.port, ...(options.host === undefined ? {} : { host: options.host }) },
      resolve,
    );
  });
  // what clients do wrong in a handshake is theirs
  server.on("tlsClientError", () => undefined);
  await keeper.look();
  return {
    server,
    get ready() {
      return keeper.ready;
    },
    look: () => keeper.look(),
    async close() {
      keeper.close();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
