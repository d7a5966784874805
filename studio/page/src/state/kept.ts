/** What this browser keeps between visits; what it cannot read counts as nothing. */
export function read<T>(key: string): Partial<T> {
  try {
    return (JSON.parse(localStorage.getItem(key) ?? "{}") ?? {}) as Partial<T>;
  } catch {
    return {};
  }
}

export function keep<T>(key: string, value: T): void {
  localStorage.setItem(key, JSON.stringify(value));
}
