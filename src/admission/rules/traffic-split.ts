import { identify, namespaceOf } from "../../api/objects.ts";
import type { Problem } from "../../api/problem.ts";
import { complaints, exists, missing, ofKind, repeated, type Rule } from "./rule.ts";

type SplitRule = Rule<"TrafficSplit">;

const weights: SplitRule = (split) => {
  const { error } = complaints(split);
  const { backends } = split.spec;
  if (backends.length === 0) {
    return [error("spec.backends", "InvalidValue", "there is no backend: name at least one")];
  }
  return backends.every((backend) => backend.weight === 0)
    ? [error("spec.backends", "AllWeightsZero", "all weights are 0: give at least one backend a weight")]
    : [];
};

const backendTwice: SplitRule = (split) =>
  repeated(split.spec.backends.map((backend) => backend.service)).map((index) =>
    complaints(split).error(
      `spec.backends[${index}].service`,
      "Conflict",
      `Service ${split.spec.backends[index]!.service} is a backend already: add the weights and name it once`,
    ),
  );

const oneSplitForARoot: SplitRule = (split, others) =>
  ofKind(others, "TrafficSplit")
    .filter((other) => namespaceOf(other) === namespaceOf(split) && other.spec.service === split.spec.service)
    .map((other) =>
      complaints(split).error(
        "spec.service",
        "Conflict",
        `${identify(other)} already splits Service ${split.spec.service}: change that one, or delete it first`,
      ),
    );

const references: SplitRule = (split, others) => {
  const own = complaints(split);
  const namespace = namespaceOf(split);
  const services = [
    ["spec.service", split.spec.service],
    ...split.spec.backends.map((backend, index) => [`spec.backends[${index}].service`, backend.service]),
  ] as [string, string][];
  const groups = (split.spec.matches ?? []).map((match, index): [string, string] => [
    `spec.matches[${index}].name`,
    match.name,
  ]);
  return [
    ...services
      .filter(([, name]) => !exists(others, "Service", namespace, name))
      .map(([field, name]) => missing(own, field, "Service", namespace, name)),
    ...groups
      .filter(([, name]) => !exists(others, "HTTPRouteGroup", namespace, name))
      .map(([field, name]) => missing(own, field, "HTTPRouteGroup", namespace, name)),
  ];
};

export const trafficSplitRules: SplitRule = (split, others): readonly Problem[] =>
  [weights, backendTwice, oneSplitForARoot, references].flatMap((rule) => rule(split, others));
