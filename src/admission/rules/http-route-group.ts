import type { Problem } from "../../api/problem.ts";
import { expressionErrors } from "../../model/route-groups.ts";
import { complaints, type Complaints, repeated, type Rule } from "./rule.ts";

type Match = NonNullable<Parameters<Rule<"HTTPRouteGroup">>[0]["spec"]["matches"]>[number];

/** RFC 9110, section 5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
function matchProblems(match: Match, at: string, { error, warning }: Complaints): readonly Problem[] {
  const { methods = [], headers = {} } = match;
  const empty = match.pathRegex === undefined && methods.length === 0 && Object.keys(headers).length === 0;
  return [
    ...(empty
      ? [
          warning(
            at,
            "InvalidValue",
            "has no condition and so matches every request: say pathRegex, methods or headers",
          ),
        ]
      : []),
    ...expressionErrors(match).map(({ field, message }) => error(`${at}.${field}`, "InvalidValue", message)),
    ...methods.flatMap((method, index) => {
      const field = `${at}.methods[${index}]`;
      if (!token.test(method)) {
        return [error(field, "InvalidValue", `"${method}" is no HTTP method: write one such as GET, or *`)];
      }
      return method === method.toUpperCase()
        ? []
        : [warning(field, "InvalidValue", `methods are case-sensitive: is "${method.toUpperCase()}" meant?`)];
    }),
    ...Object.keys(headers)
      .filter((name) => !token.test(name))
      .map((name) => error(`${at}.headers["${name}"]`, "InvalidValue", "is no name of an HTTP header")),
  ];
}

export const httpRouteGroupRules: Rule<"HTTPRouteGroup"> = (group) => {
  const own = complaints(group);
  const matches = group.spec.matches ?? [];
  const names = matches.map((match, index) => match.name ?? `unnamed match ${index}`);
  return [
    ...(matches.length === 0
      ? [
          own.warning(
            "spec.matches",
            "InvalidValue",
            "there are no matches, so what refers to it has no effect",
          ),
        ]
      : []),
    ...repeated(names).map((index) =>
      own.error(
        `spec.matches[${index}].name`,
        "Conflict",
        `another match is called "${names[index]}" too: references by name would be ambiguous, rename one`,
      ),
    ),
    ...matches.flatMap((match, index) => matchProblems(match, `spec.matches[${index}]`, own)),
  ];
};
