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

  constructor() {
    addEventListener("hashchange", () => (this.place = readPlace(location.hash)));
  }

  go(view: View, parts: string[] = [], query: Record<string, string> = {}): void {
    location.hash = writePlace(view, parts, query);
    this.place = readPlace(location.hash);
  }

  /** Says where the person is without a step that "back" would undo. */
  note(view: View, parts: string[] = [], query: Record<string, string> = {}): void {
    history.replaceState(null, "", writePlace(view, parts, query));
    this.place = readPlace(location.hash);
  }
}

export const route = new Route();
