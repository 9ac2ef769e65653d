/** The flags of `deploy`, and the chart's value that each of them sets. Pure, but for the files that flags name. */
import { InvalidArgumentError, Option } from "commander";

import { lbMethods, logLevels, mtlsModes } from "../api/policies.ts";

/** A value of the chart at a path. */
export type ValuePath = readonly string[];

export interface DeployFlag {
  readonly option: Option;
  /** Absent: the flag is dealt with by itself. */
  readonly path?: ValuePath;
}

const trustDomain = /^[a-z0-9._-]{1,255}$/;
const bodySize = /^\d+[kKmMgG]?$/;
const svidTtl = /^[1-9]\d{0,5}[hm]$/;
const host = /^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$/;

function matching(pattern: RegExp, what: string): (text: string) => string {
  return (text) => {
    if (!pattern.test(text)) {
      throw new InvalidArgumentError(`it must be ${what}.`);
    }
    return text;
  };
}

/** Hours; the CA must live a day at least. */
function caTtl(text: string): string {
  const hours = /^(\d{2,6})h$/.exec(text)?.[1];
  if (hours === undefined || Number(hours) < 24) {
    throw new InvalidArgumentError("it must be hours, 24h at least, such as 720h.");
  }
  return text;
}

/** 0 to 1. */
function ratio(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 1)) {
    throw new InvalidArgumentError("it must be a number from 0 to 1.");
  }
  return value;
}

/** `NAME.NAMESPACE:PORT`, or any host and port. */
function hostPort(text: string): string {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? 0);
  if (match === null || !host.test(match[1] ?? "") || port < 1 || port > 65_535) {
    throw new InvalidArgumentError("it must be HOST:PORT, such as prometheus.monitoring:9090.");
  }
  return text;
}

export interface OtlpExporter {
  readonly host: string;
  readonly port: number;
}

/** `type=otlp,host=H,port=P`, in any order; again, if it is the same. Throws InvalidArgumentError. */
export function parseExporter(text: string, before?: OtlpExporter): OtlpExporter {
  const pairs = new Map(
    text.split(",").map((part): [string, string] => {
      const [key = "", ...rest] = part.split("=");
      return [key.trim(), rest.join("=").trim()];
    }),
  );
  const unknown = [...pairs.keys()].find((key) => !["type", "host", "port"].includes(key));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`"${unknown}" is not known; it must be type=otlp,host=HOST,port=PORT.`);
  }
  if (pairs.get("type") !== "otlp") {
    throw new InvalidArgumentError(`its type is "${pairs.get("type") ?? ""}"; only otlp can be used.`);
  }
  const port = Number(pairs.get("port") ?? "");
  if (!host.test(pairs.get("host") ?? "") || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new InvalidArgumentError("it must be type=otlp,host=HOST,port=PORT.");
  }
  const exporter = { host: pairs.get("host") ?? "", port };
  if (before !== undefined && (before.host !== exporter.host || before.port !== port)) {
    throw new InvalidArgumentError(
      `traces go to one exporter, and ${before.host}:${before.port} was given before; a collector there can pass them on to several.`,
    );
  }
  return exporter;
}

const flag = (path: ValuePath | undefined, option: Option): DeployFlag =>
  path === undefined ? { option } : { option, path };

/** Defaults are the chart's, so the help names them and the flags have none. */
export const deployFlags: readonly DeployFlag[] = [
  flag(
    ["accessControlMode"],
    new Option(
      "--access-control-mode <mode>",
      "what is allowed without a TrafficTarget (default: allow)",
    ).choices(["allow", "deny"]),
  ),
  flag(
    ["clientMaxBodySize"],
    new Option(
      "--client-max-body-size <size>",
      "largest body of a request, 0 for any (default: 1m)",
    ).argParser(matching(bodySize, "a size such as 0, 64k or 10m")),
  ),
  flag(
    ["registry", "disablePublicImages"],
    new Option("--disable-public-images", "take the images of NATS and SPIRE from the registry server too"),
  ),
  flag(["enableUDP"], new Option("--enable-udp", "carry UDP through the mesh")),
  flag(
    ["environment"],
    new Option("--environment <name>", "kind of cluster (default: kubernetes)").choices([
      "kubernetes",
      "openshift",
    ]),
  ),
  flag(
    ["registry", "imageTag"],
    new Option("--image-tag <tag>", "tag of the mesh's images (default: the version of this tool)").argParser(
      matching(/^[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}$/, "a tag of an image"),
    ),
  ),
  flag(
    ["mtls", "caKeyType"],
    new Option("--mtls-ca-key-type <type>", "key of the mesh's CA (default: ec-p256)").choices([
      "ec-p256",
      "ec-p384",
      "rsa-2048",
      "rsa-4096",
    ]),
  ),
  flag(
    ["mtls", "caTTL"],
    new Option("--mtls-ca-ttl <hours>", "life of the mesh's CA, 24h at least (default: 720h)").argParser(
      caTtl,
    ),
  ),
  flag(
    ["mtls", "mode"],
    new Option("--mtls-mode <mode>", "mTLS between pods (default: permissive)").choices(mtlsModes),
  ),
  flag(
    ["mtls", "svidTTL"],
    new Option("--mtls-svid-ttl <duration>", "life of a pod's certificate (default: 1h)").argParser(
      matching(svidTtl, "hours or minutes such as 1h or 30m"),
    ),
  ),
  flag(
    ["mtls", "trustDomain"],
    new Option(
      "--mtls-trust-domain <domain>",
      "trust domain of the identities (default: example.org)",
    ).argParser(matching(trustDomain, "a trust domain: lower-case letters, digits, dots, - and _")),
  ),
  flag(
    undefined,
    new Option("--mtls-upstream-ca-conf <file>", "file that names the authority above the mesh's CA"),
  ),
  flag(
    ["nginxErrorLogLevel"],
    new Option("--nginx-error-log-level <level>", "what sidecars log (default: warn)").choices(logLevels),
  ),
  flag(
    ["nginxLBMethod"],
    new Option("--nginx-lb-method <method>", "how sidecars balance (default: least_time)").choices(lbMethods),
  ),
  flag(
    ["nginxLogFormat"],
    new Option("--nginx-log-format <format>", "form of the access log (default: default)").choices([
      "default",
      "json",
    ]),
  ),
  flag(
    undefined,
    new Option(
      "--persistent-storage <mode>",
      "keep SPIRE's state on a volume; auto: if the cluster has a default storage class (default: auto)",
    ).choices(["auto", "on", "off"]),
  ),
  flag(
    ["prometheusAddress"],
    new Option(
      "--prometheus-address <host:port>",
      "an existing Prometheus, SERVICE.NAMESPACE:PORT",
    ).argParser(hostPort),
  ),
  flag(
    undefined,
    new Option("--registry-key <file>", "file with a JSON key for the registry").conflicts([
      "registryUsername",
      "registryPassword",
    ]),
  ),
  flag(["registry", "username"], new Option("--registry-username <name>", "user of the registry")),
  flag(["registry", "password"], new Option("--registry-password <password>", "password of that user")),
  flag(
    ["registry", "server"],
    new Option("--registry-server <host[/path]>", "registry of the mesh's images").argParser(
      matching(/^[A-Za-z0-9][-A-Za-z0-9._:/]*[A-Za-z0-9]$/, "HOST[:PORT][/PATH]"),
    ),
  ),
  flag(
    ["mtls", "spireServerKeyManager"],
    new Option("--spire-server-key-manager <where>", "where SPIRE keeps its keys (default: disk)").choices([
      "disk",
      "memory",
    ]),
  ),
  flag(
    ["telemetry", "exporters", "otlp"],
    new Option("--telemetry-exporters <type=otlp,host=H,port=P>", "where traces go, by OTLP").argParser(
      parseExporter,
    ),
  ),
  flag(
    ["telemetry", "samplerRatio"],
    new Option(
      "--telemetry-sampler-ratio <ratio>",
      "share of requests that are traced (default: 0.01)",
    ).argParser(ratio),
  ),
];
