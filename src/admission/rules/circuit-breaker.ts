import { identify, namespaceOf } from "../../api/objects.ts";
import { complaints, exists, missing, ofKind, type Rule } from "./rule.ts";

type BreakerRule = Rule<"CircuitBreaker">;

function destinationOf(breaker: Parameters<BreakerRule>[0]): { namespace: string; name: string } {
  const { namespace = namespaceOf(breaker), name } = breaker.spec.destination;
  return { namespace, name };
}

const numbers: BreakerRule = (breaker) => {
  const { warning } = complaints(breaker);
  return (["errors", "timeoutSeconds"] as const)
    .filter((field) => breaker.spec[field] === 0)
    .map((field) =>
      warning(`spec.${field}`, "InvalidValue", "with 0 the breaker never trips: write 1 or more"),
    );
};

/** `namespace/name`, or a name in namespace `default` (public interface). */
const fallback: BreakerRule = (breaker, others) => {
  const own = complaints(breaker);
  const { fallback: to } = breaker.spec;
  if (to === undefined) {
    return [];
  }
  const field = "spec.fallback.service";
  const parts = (to.service ?? "").split("/");
  const [namespace, name] = parts.length === 1 ? ["default", parts[0]!] : [parts[0]!, parts[1]!];
  if (parts.length > 2 || namespace === "" || name === "") {
    const message = `"${to.service ?? ""}" names no Service: write namespace/name`;
    return [own.error(field, "InvalidValue", message)];
  }
  const destination = destinationOf(breaker);
  if (namespace !== destination.namespace) {
    const message = `Service ${namespace}/${name} is not in namespace ${destination.namespace}, where the destination is: use one that is`;
    return [own.error(field, "InvalidValue", message)];
  }
  if (name === destination.name) {
    return [own.error(field, "Cycle", "is the destination itself, which has failed then: use another")];
  }
  return exists(others, "Service", namespace, name) ? [] : [missing(own, field, "Service", namespace, name)];
};

const oneForADestination: BreakerRule = (breaker, others) => {
  const { namespace, name } = destinationOf(breaker);
  return ofKind(others, "CircuitBreaker")
    .filter((other) => {
      const its = destinationOf(other);
      return its.namespace === namespace && its.name === name;
    })
    .map((other) =>
      complaints(breaker).error(
        "spec.destination",
        "Conflict",
        `${identify(other)} is a breaker of Service ${namespace}/${name} already: change that one, or delete it first`,
      ),
    );
};

const references: BreakerRule = (breaker, others) => {
  const { namespace, name } = destinationOf(breaker);
  return exists(others, "Service", namespace, name)
    ? []
    : [missing(complaints(breaker), "spec.destination.name", "Service", namespace, name)];
};

export const circuitBreakerRules: BreakerRule = (breaker, others) =>
  [numbers, fallback, oneForADestination, references].flatMap((rule) => rule(breaker, others));
