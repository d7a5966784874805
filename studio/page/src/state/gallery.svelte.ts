/** The gallery: what is looked for, the wall of what was found, and what is picked out of it. */
import type { Filter } from "../api/pictures";
import { route } from "./route.svelte";
import { Selection } from "./selection.svelte";
import { Wall } from "./wall.svelte";

const SIZE = "studio-tile";
const TYPING_MS = 200;
const WORDS = ["graph", "prior", "version", "kind", "like", "job", "board", "since", "until", "q", "about"];

/** What an address looks for. */
export function readFilter(query: Record<string, string>): Filter {
  const known = Object.entries(query).filter(([name]) => WORDS.includes(name));
  return cleaned({
    ...Object.fromEntries(known),
    stars: Number(query.stars) || undefined,
    starred: query.starred === "true",
  });
}

/** Without what narrows nothing, in one order, so that the same is written the same. */
const cleaned = (filter: Filter): Filter =>
  Object.fromEntries(
    Object.entries(filter)
      .filter(([, value]) => value !== undefined && value !== "" && value !== false)
      .sort(),
  );

const asQuery = (filter: Filter): Record<string, string> =>
  Object.fromEntries(Object.entries(filter).map(([name, value]) => [name, String(value)]));

class Gallery {
  readonly wall = new Wall();
  readonly selection = new Selection();
  /** Of a tile, in px. */
  size = $state(Number(localStorage.getItem(SIZE)) || 180);
  filter: Filter = $state({});
  #shown = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Narrows the wall, and says so in the address; while somebody types only the last word counts. */
  narrow(change: Filter, typing = false): void {
    this.filter = cleaned({ ...this.filter, ...change });
    route.note("gallery", [], asQuery(this.filter));
    this.#read(typing ? TYPING_MS : 0);
  }

  /** Shows what an address looks for. */
  look(filter: Filter): void {
    if (JSON.stringify(filter) === JSON.stringify(this.filter) && this.wall.loaded) return;
    this.filter = filter;
    this.#read(0);
  }

  #read(after_ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.refresh(), after_ms);
  }

  /** Reads the wall from its top, unless it shows what is asked for already. */
  async refresh(anew = false): Promise<void> {
    const wanted = JSON.stringify(this.filter);
    if (!anew && wanted === this.#shown && this.wall.loaded) return;
    this.#shown = wanted;
    this.selection.clear();
    const { about, ...rest } = $state.snapshot(this.filter);
    // Nothing is like no words: until some are typed, everything is shown.
    await this.wall.narrow(about?.trim() ? { ...rest, about } : rest);
  }

  /** Reads what is in sight once more: pictures came, went, or were changed elsewhere. */
  async reread(): Promise<void> {
    if (this.wall.loaded) await this.wall.reread();
    else if (this.#shown) await this.refresh(true);
  }

  resize(size: number): void {
    this.size = size;
    localStorage.setItem(SIZE, String(size));
  }
}

export const gallery = new Gallery();
