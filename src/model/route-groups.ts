/** HTTPRouteGroups without the matches that cannot be used. */
import { identify, namespaceOf } from "../api/objects.ts";
import type { HttpRouteGroup } from "../api/policies.ts";
import { objectsOf, type Snapshot } from "../cluster/snapshot.ts";
import type { Report } from "./mesh.ts";

type Match = NonNullable<HttpRouteGroup["spec"]["matches"]>[number];

/** What PCRE knows and JavaScript does not; such an expression cannot be checked here. */
const onlyInPcre =
  /\(\?[imnsxUJ^-]*\)|\(\?[imnsxUJ^-]+:|\(\?P|\(\?>|\(\?[#|&R'(C\d+-]|\(\*|\\[AZzGKQEhHRNXC]|[+*?}]\+|\[\[:/;

/** Why it is no regular expression; undefined: it is one, as far as can be told. */
function expressionError(text: string): string | undefined {
  try {
    RegExp(text);
    return undefined;
  } catch (error) {
    return onlyInPcre.test(text)
      ? undefined
      : (error as Error).message.replace(/^Invalid regular expression: /, "");
  }
}

/** Fields of the match that are no regular expressions, and why. */
export function expressionErrors(
  match: Match,
): readonly { readonly field: string; readonly message: string }[] {
  const expressions = [
    ...(match.pathRegex === undefined ? [] : [["pathRegex", match.pathRegex] as const]),
    ...Object.entries(match.headers ?? {}).map(([name, value]) => [`headers["${name}"]`, value] as const),
  ];
  return expressions.flatMap(([field, text]) => {
    const why = expressionError(text);
    return why === undefined ? [] : [{ field, message: `is no regular expression: ${why}` }];
  });
}

function withUsableMatches(group: HttpRouteGroup, report: Report): HttpRouteGroup {
  const matches = (group.spec.matches ?? []).filter((match, index) => {
    const errors = expressionErrors(match);
    for (const { field, message } of errors) {
      report({
        object: identify(group),
        field: `spec.matches[${index}].${field}`,
        reason: "InvalidValue",
        message: `${message}; the match is not used`,
        severity: "error",
      });
    }
    return errors.length === 0;
  });
  return { ...group, spec: { matches } };
}

/** By `namespace/name`. */
export function routeGroups(snapshot: Snapshot, report: Report): ReadonlyMap<string, HttpRouteGroup> {
  return new Map(
    objectsOf(snapshot, "HTTPRouteGroup").map((group) => [
      `${namespaceOf(group)}/${group.metadata.name}`,
      withUsableMatches(group, report),
    ]),
  );
}
