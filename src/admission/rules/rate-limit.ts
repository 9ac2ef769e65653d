import { identify, type Kind, namespaceOf } from "../../api/objects.ts";
import { complaints, exists, missing, ofKind, repeated, type Rule } from "./rule.ts";

type LimitRule = Rule<"RateLimit">;
type Limit = Parameters<LimitRule>[0];
type Reference = Limit["spec"]["destination"];

const kinds: readonly string[] = ["Pod", "Deployment", "DaemonSet", "StatefulSet", "Service"];

function key(reference: Reference, limit: Limit): string {
  return `${reference.kind} ${reference.namespace ?? namespaceOf(limit)}/${reference.name}`;
}

/** Source → where it stands; a limit without sources is the default for everybody that no other names. */
const everybody = "every source";
function sourcesOf(limit: Limit): readonly string[] {
  const sources = limit.spec.sources ?? [];
  return sources.length === 0 ? [everybody] : sources.map((source) => key(source, limit));
}

const kindsOf: LimitRule = (limit) => {
  const all: [string, Reference][] = [
    ["spec.destination", limit.spec.destination],
    ...(limit.spec.sources ?? []).map((source, index): [string, Reference] => [
      `spec.sources[${index}]`,
      source,
    ]),
  ];
  return all
    .filter(([, { kind }]) => !kinds.includes(kind))
    .map(([field, { kind }]) =>
      complaints(limit).error(`${field}.kind`, "InvalidValue", `"${kind}" is not one of ${kinds.join(", ")}`),
    );
};

const rate: LimitRule = (limit) => {
  const { error, warning } = complaints(limit);
  const { rate: text, burst, delay } = limit.spec;
  const delayed = delay === undefined || delay === "nodelay" || /^\d+$/.test(String(delay));
  return [
    // the pattern of the CRD lets a comma through
    ...(/^0*[1-9]\d*r\/[sm]$/.test(text)
      ? []
      : [
          error(
            "spec.rate",
            "InvalidValue",
            `"${text}" is no rate: write requests a second or minute, as 10r/s or 30r/m`,
          ),
        ]),
    ...(delayed
      ? []
      : [
          error(
            "spec.delay",
            "InvalidValue",
            `"${String(delay)}" is no delay: write a number of requests, or nodelay`,
          ),
        ]),
    ...(delay !== undefined && (burst ?? 0) === 0
      ? [warning("spec.delay", "InvalidValue", "has no effect without burst: set burst, or leave delay out")]
      : []),
  ];
};

/** The rule of the public interface: several limits of one destination are fine when their sources differ. */
const conflicts: LimitRule = (limit, others) => {
  const { error } = complaints(limit);
  const own = sourcesOf(limit);
  const field = (index: number) =>
    (limit.spec.sources ?? []).length === 0 ? "spec.sources" : `spec.sources[${index}]`;
  const twice = repeated(own).map((index) =>
    error(field(index), "Conflict", `${own[index]} stands here twice: remove one`),
  );
  const destination = key(limit.spec.destination, limit);
  const rivals = ofKind(others, "RateLimit").filter(
    (other) => key(other.spec.destination, other) === destination,
  );
  return [
    ...twice,
    ...rivals.flatMap((other) => {
      const taken = new Set(sourcesOf(other));
      return own.flatMap((source, index) =>
        taken.has(source)
          ? [
              error(
                field(index),
                "Conflict",
                `${identify(other)} already limits ${source} at ${destination}: a source can have one limit at a destination, change or delete one of them`,
              ),
            ]
          : [],
      );
    }),
  ];
};

const references: LimitRule = (limit, others) => {
  const own = complaints(limit);
  const namespace = namespaceOf(limit);
  const { destination } = limit.spec;
  const at = destination.namespace ?? namespace;
  const rules = "rules" in limit.spec ? (limit.spec.rules ?? []) : [];
  return [
    ...(kinds.includes(destination.kind) && !exists(others, destination.kind as Kind, at, destination.name)
      ? [missing(own, "spec.destination.name", destination.kind as Kind, at, destination.name)]
      : []),
    ...rules
      .map((rule, index) => ({ rule, index }))
      .filter(({ rule }) => !exists(others, "HTTPRouteGroup", namespace, rule.name))
      .map(({ rule, index }) =>
        missing(own, `spec.rules[${index}].name`, "HTTPRouteGroup", namespace, rule.name),
      ),
  ];
};

export const rateLimitRules: LimitRule = (limit, others) =>
  [kindsOf, rate, conflicts, references].flatMap((rule) => rule(limit, others));
