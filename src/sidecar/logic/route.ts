/** Which backend a request goes to: the first rule whose match it satisfies, then by weight. */
import type { HttpMatch } from "../../wire/messages.ts";

/**
 * A request as far as a match looks at it.
 * @noSelf
 */
export interface RequestView {
  method(): string;
  path(): string;
  header(name: string): string | undefined;
  /** Whether the whole of `value` matches the regular expression. */
  matches(value: string, expression: string): boolean;
}

export interface WeightedBackend<P> {
  readonly weight: number;
  readonly pool: P;
}

export interface RouteRule<P> {
  readonly matches: readonly HttpMatch[] | undefined;
  readonly backends: readonly WeightedBackend<P>[];
  /** Sum of the weights, > 0. */
  readonly total: number;
}

function methodMatches(match: HttpMatch, request: RequestView): boolean {
  const methods = match.methods;
  if (methods === undefined || methods.length === 0) {
    return true;
  }
  const method = request.method();
  for (let i = 0; i < methods.length; i++) {
    if (methods[i] === method || methods[i] === "*") {
      return true;
    }
  }
  return false;
}

function headersMatch(match: HttpMatch, request: RequestView): boolean {
  const headers = match.headers;
  if (headers === undefined) {
    return true;
  }
  for (const name in headers) {
    const value = request.header(name);
    if (value === undefined || !request.matches(value, headers[name]!)) {
      return false;
    }
  }
  return true;
}

/** All conditions that are present hold. */
export function satisfies(match: HttpMatch, request: RequestView): boolean {
  if (match.pathRegex !== undefined && !request.matches(request.path(), match.pathRegex)) {
    return false;
  }
  return methodMatches(match, request) && headersMatch(match, request);
}

function applies<P>(rule: RouteRule<P>, request: RequestView | undefined): boolean {
  const matches = rule.matches;
  if (matches === undefined || matches.length === 0) {
    return true;
  }
  if (request === undefined) {
    return false;
  }
  for (let i = 0; i < matches.length; i++) {
    if (satisfies(matches[i]!, request)) {
      return true;
    }
  }
  return false;
}

/** A backend by weight; `random` in [0, 1). */
export function byWeight<P>(rule: RouteRule<P>, random: number): P | undefined {
  let point = random * rule.total;
  const backends = rule.backends;
  for (let i = 0; i < backends.length; i++) {
    const backend = backends[i]!;
    point = point - backend.weight;
    if (point < 0) {
      return backend.pool;
    }
  }
  return undefined;
}

/** undefined: no rule applies, the request goes to the root service itself. */
export function chooseBackend<P>(
  rules: readonly RouteRule<P>[],
  request: RequestView | undefined,
  random: () => number,
): P | undefined {
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i]!;
    if (applies(rule, request)) {
      return byWeight(rule, random());
    }
  }
  return undefined;
}
