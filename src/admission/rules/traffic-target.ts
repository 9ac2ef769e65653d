import { type Kind, namespaceOf } from "../../api/objects.ts";
import type { Problem } from "../../api/problem.ts";
import { complaints, exists, missing, ofKind, type Rule } from "./rule.ts";

type TargetRule = Rule<"TrafficTarget">;
type Reference = Parameters<TargetRule>[0]["spec"]["destination"];

const ruleKinds: readonly string[] = ["HTTPRouteGroup", "TCPRoute"];

const identities: TargetRule = (target) => {
  const { error } = complaints(target);
  const all: [string, Reference][] = [
    ["spec.destination", target.spec.destination],
    ...(target.spec.sources ?? []).map((source, index): [string, Reference] => [
      `spec.sources[${index}]`,
      source,
    ]),
  ];
  return all.flatMap(([field, { kind, port }]) => [
    ...(kind === "ServiceAccount"
      ? []
      : [
          error(
            `${field}.kind`,
            "InvalidValue",
            `"${kind}" is no identity: access is granted to kind ServiceAccount`,
          ),
        ]),
    ...(port === undefined || (port >= 1 && port <= 65535)
      ? []
      : [
          error(
            `${field}.port`,
            "InvalidValue",
            `${port} is no port: write 1 to 65535, or leave it out for all`,
          ),
        ]),
  ]);
};

const sources: TargetRule = (target) =>
  (target.spec.sources ?? []).length === 0
    ? [
        complaints(target).warning(
          "spec.sources",
          "InvalidValue",
          "there are none, so this lets nobody in: name the ServiceAccounts that may",
        ),
      ]
    : [];

/** Names of matches that a rule wants and its HTTPRouteGroup does not have. */
const rules: TargetRule = (target, others) => {
  const own = complaints(target);
  const namespace = namespaceOf(target);
  return (target.spec.rules ?? []).flatMap((rule, index): Problem[] => {
    const field = `spec.rules[${index}]`;
    if (!ruleKinds.includes(rule.kind)) {
      const message = `"${rule.kind}" is no kind of rule: write HTTPRouteGroup or TCPRoute`;
      return [own.error(`${field}.kind`, "InvalidValue", message)];
    }
    if (!exists(others, rule.kind as Kind, namespace, rule.name)) {
      return [missing(own, `${field}.name`, rule.kind as Kind, namespace, rule.name)];
    }
    const group = ofKind(others, "HTTPRouteGroup").find(
      (each) => namespaceOf(each) === namespace && each.metadata.name === rule.name,
    );
    const names = (group?.spec.matches ?? []).map((match) => match.name);
    return group === undefined
      ? []
      : (rule.matches ?? []).flatMap((name, place) =>
          names.includes(name)
            ? []
            : [
                own.warning(
                  `${field}.matches[${place}]`,
                  "NotFound",
                  `HTTPRouteGroup ${namespace}/${rule.name} has no match "${name}": correct the name`,
                ),
              ],
        );
  });
};

export const trafficTargetRules: TargetRule = (target, others) =>
  [identities, sources, rules].flatMap((rule) => rule(target, others));
