/** docs/benchmarks.md is written by hand but for what is between the markers of a section. */

/** Replaces what is between `<!-- NAME -->` and `<!-- /NAME -->`. Throws when the document has no such markers. */
export function replaceSection(document: string, name: string, text: string): string {
  const start = `<!-- ${name} -->`;
  const end = `<!-- /${name} -->`;
  const from = document.indexOf(start);
  const to = document.indexOf(end);
  if (from < 0 || to < from) {
    throw new Error(`the document has no section "${name}" (lines ${start} and ${end})`);
  }
  return `${document.slice(0, from + start.length)}\n\n${text.trim()}\n\n${document.slice(to)}`;
}
