/** Which things with labels a Service selects, without looking at all of them. */

export interface Labelled {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Selection<T extends Labelled> {
  /** In the order of the index; an empty selector selects nothing (Kubernetes, Service `spec.selector`). */
  select(namespace: string, selector: Readonly<Record<string, string>> | undefined): readonly T[];
}

function entry(namespace: string, key: string, value: string): string {
  return `${namespace}\0${key}\0${value}`;
}

export function indexByLabels<T extends Labelled>(items: readonly T[]): Selection<T> {
  const byLabel = new Map<string, T[]>();
  for (const item of items) {
    for (const [key, value] of Object.entries(item.labels)) {
      const name = entry(item.namespace, key, value);
      const present = byLabel.get(name);
      if (present === undefined) {
        byLabel.set(name, [item]);
      } else {
        present.push(item);
      }
    }
  }
  return {
    select(namespace, selector) {
      const wanted = Object.entries(selector ?? {});
      const lists = wanted.map(([key, value]) => byLabel.get(entry(namespace, key, value)) ?? []);
      const [shortest] = lists.toSorted((a, b) => a.length - b.length);
      return (shortest ?? []).filter((item) => wanted.every(([key, value]) => item.labels[key] === value));
    },
  };
}
