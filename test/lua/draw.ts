/** Random choices of generators. */

export type Random = () => number;

export function whole(random: Random, from: number, to: number): number {
  return from + Math.floor(random() * (to - from + 1));
}

export function chance(random: Random, probability: number): boolean {
  return random() < probability;
}

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[whole(random, 0, list.length - 1)]!;
}

export function many<T>(random: Random, least: number, most: number, make: (index: number) => T): T[] {
  return Array.from({ length: whole(random, least, most) }, (_, i) => make(i));
}
