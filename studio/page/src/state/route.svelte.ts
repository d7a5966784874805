/** Where the person is: `#/view/part/part?name=value`, so that reload, back and links work. */
export const VIEWS = ["create", "analyze", "gallery", "compare", "system"] as const;
export type View = (typeof VIEWS)[number];

export interface Place {
  view: View;
  parts: string[];
  query: Record<string, string>;
}

/** An address that somebody typed may be no good escape. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function readPlace(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view, ...parts] = path.split("/").filter(Boolean).map(decoded);
  return {
    view: VIEWS.find((known) => known === view) ?? "create",
    parts,
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

export function writePlace(view: View, parts: string[] = [], query: Record<string, string> = {}): string {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  const path = [view, ...parts].map(encodeURIComponent).join("/");
  return `#/${path}${asked.size ? `?${asked}` : ""}`;
}

class Route {
  place: Place = $state(readPlace(location.hash));
  #closing: Promise<void> | null = null;

  constructor() {
    addEventListener("hashchange", () => (this.place = readPlace(location.hash)));
  }

  go(view: View, parts: string[] = [], query: Record<string, string> = {}): void {
    location.hash = writePlace(view, parts, query);
    this.place = readPlace(location.hash);
  }

  /** Says where the person is without a step that "back" would undo. */
  note(view: View, parts: string[] = [], query: Record<string, string> = {}): void {
    history.replaceState(history.state, "", writePlace(view, parts, query));
    this.place = readPlace(location.hash);
  }

  /** Says that something lies over what is shown: "back" takes it away, a link or reload brings it back. */
  open(name: string, value: string): void {
    const { view, parts, query } = this.place;
    history.pushState({ over: name }, "", writePlace(view, parts, { ...query, [name]: value }));
    this.place = readPlace(location.hash);
  }

  /** Takes it away: by a step back where it was opened by a step. */
  close(name: string): Promise<void> {
    return (this.#closing ??= this.#close(name).finally(() => (this.#closing = null)));
  }

  async #close(name: string): Promise<void> {
    const { view, parts, query } = this.place;
    if (!(name in query)) return;
    if ((history.state as { over?: string } | null)?.over === name) {
      const back = new Promise((resolve) => addEventListener("popstate", resolve, { once: true }));
      history.back();
      await back;
      this.place = readPlace(location.hash);
    } else {
      const rest = Object.entries(query).filter(([one]) => one !== name);
      this.note(view, parts, Object.fromEntries(rest));
    }
  }
}

export const route = new Route();
