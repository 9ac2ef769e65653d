import type { Problem } from "../../api/problem.ts";
import { complaints, type Rule } from "./rule.ts";

type ConfigRule = Rule<"MeshConfig">;

/** Seconds of `720h` or `30m`. */
function seconds(text: string): number {
  return Number.parseInt(text, 10) * (text.endsWith("h") ? 3600 : 60);
}

const leastCaHours = 24;

const lives: ConfigRule = (config) => {
  const { error } = complaints(config);
  const { caTTL = "720h", svidTTL = "1h" } = config.spec.mtls ?? {};
  return [
    // the pattern of the CRD is bound at one end of each alternative only
    ...(/^\d{2,6}h$/.test(caTTL) && seconds(caTTL) >= leastCaHours * 3600
      ? []
      : [error("spec.mtls.caTTL", "InvalidValue", `"${caTTL}" must be hours, ${leastCaHours}h at least`)]),
    ...(seconds(svidTTL) > seconds(caTTL)
      ? [
          error(
            "spec.mtls.svidTTL",
            "InvalidValue",
            `${svidTTL} is longer than caTTL, ${caTTL}: an SVID cannot outlive the authority that signs it`,
          ),
        ]
      : []),
  ];
};

const addresses: ConfigRule = (config) => {
  const { error, warning } = complaints(config);
  const { prometheusAddress = "", telemetry } = config.spec;
  const otlp = telemetry?.exporters?.otlp;
  const problems: Problem[] = [];
  if (prometheusAddress !== "" && !/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?:\d{1,5}$/i.test(prometheusAddress)) {
    const message = `"${prometheusAddress}" is no address: write SERVICE.NAMESPACE:PORT`;
    problems.push(error("spec.prometheusAddress", "InvalidValue", message));
  }
  for (const field of ["host", "port"] as const) {
    if (otlp !== undefined && otlp[field] === undefined) {
      const message = `is missing: traces go to a host and a port`;
      problems.push(error(`spec.telemetry.exporters.otlp.${field}`, "InvalidValue", message));
    }
  }
  if (telemetry?.samplerRatio !== undefined && otlp === undefined) {
    const message = "has no effect without an exporter: set spec.telemetry.exporters.otlp";
    problems.push(warning("spec.telemetry.samplerRatio", "InvalidValue", message));
  }
  return problems;
};

export const meshConfigRules: ConfigRule = (config, others) =>
  [lives, addresses].flatMap((rule) => rule(config, others));
