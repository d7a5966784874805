/** The gallery: what is looked for, the wall of what was found, and what is picked out of it. */
import type { Filter } from "../api/pictures";
import { Selection } from "./selection.svelte";
import { Wall } from "./wall.svelte";

const SIZE = "studio-tile";
const TYPING_MS = 200;

class Gallery {
  readonly wall = new Wall();
  readonly selection = new Selection();
  /** Of a tile, in px. */
  size = $state(Number(localStorage.getItem(SIZE)) || 180);
  filter: Filter = $state({});
  #shown = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Narrows the wall; while somebody types only the last word counts. */
  narrow(change: Filter, typing = false): void {
    this.filter = Object.fromEntries(
      Object.entries({ ...this.filter, ...change }).filter(
        ([, value]) => value !== undefined && value !== "" && value !== false,
      ),
    );
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.refresh(), typing ? TYPING_MS : 0);
  }

  reset(filter: Filter = {}): void {
    this.filter = {};
    this.narrow(filter);
  }

  /** Reads the wall, unless it shows what is asked for already. */
  async refresh(anew = false): Promise<void> {
    const wanted = JSON.stringify(this.filter);
    if (!anew && wanted === this.#shown && this.wall.loaded) return;
    this.#shown = wanted;
    this.selection.clear();
    const { about, ...rest } = $state.snapshot(this.filter);
    // Nothing is like no words: until some are typed, everything is shown.
    await this.wall.narrow(about?.trim() ? { ...rest, about } : rest);
  }

  resize(size: number): void {
    this.size = size;
    localStorage.setItem(SIZE, String(size));
  }
}

export const gallery = new Gallery();
