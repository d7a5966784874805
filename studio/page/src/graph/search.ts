interface Named {
  name: string;
  summary: string;
}

/** Finds graphs by words: of that name first, then those whose name begins so, or has it; last by the summary. */
export function search<T extends Named>(graphs: T[], words: string): T[] {
  const wanted = words.trim().toLowerCase();
  const ways: ((graph: Named) => boolean)[] = [
    ({ name }) => name === wanted,
    ({ name }) => name.startsWith(wanted),
    ({ name }) => name.includes(wanted),
    ({ name, summary }) => `${name} ${summary}`.toLowerCase().includes(wanted),
  ];
  return [...new Set(ways.flatMap((way) => graphs.filter(way)))];
}
