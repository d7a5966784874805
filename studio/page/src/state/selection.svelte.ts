/** Pictures that were picked out, in the order in which they were. */
import { SvelteMap } from "svelte/reactivity";
import type { Picture } from "../api/types";

export class Selection {
  readonly #picked = new SvelteMap<string, Picture>();
  /** Where a range would begin. */
  anchor = $state(0);

  readonly pictures = $derived([...this.#picked.values()]);

  get size(): number {
    return this.#picked.size;
  }

  has = (picture: Picture): boolean => this.#picked.has(picture.id);

  toggle(picture: Picture, index: number): void {
    if (!this.#picked.delete(picture.id)) this.#picked.set(picture.id, picture);
    this.anchor = index;
  }

  add(pictures: Picture[]): void {
    pictures.forEach((picture) => this.#picked.set(picture.id, picture));
  }

  drop(ids: string[]): void {
    ids.forEach((id) => this.#picked.delete(id));
  }

  clear(): void {
    this.#picked.clear();
  }
}
