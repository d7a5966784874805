/** A listing of any length, of which pages are read as they come into sight. */
import { listPictures, type Filter } from "../api/pictures";
import { Problem } from "../api/problem";
import type { Picture } from "../api/types";

const PAGE = 100;
const KEPT_PAGES = 60;

export class Wall {
  total = $state(0);
  loaded = $state(false);
  problem: Problem | null = $state.raw(null);
  #pages = new Map<number, Picture[]>();
  #asked = new Map<number, AbortController>();
  #asOf: number | undefined;
  #filter: Filter = {};
  /** Counts up with each page that came, so that who looks looks again. */
  #came = $state(0);

  at = (index: number): Picture | undefined => {
    void this.#came;
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  };

  /** Begins anew with another filter; what is shown stays until the first page came. */
  async narrow(filter: Filter): Promise<void> {
    this.#filter = filter;
    this.#asked.forEach((one) => one.abort());
    this.#asked.clear();
    const stop = new AbortController();
    this.#asked.set(0, stop);
    try {
      const page = await listPictures(filter, 0, PAGE, undefined, stop.signal);
      if (stop.signal.aborted) return;
      this.#pages.clear();
      this.#pages.set(0, page.items);
      this.#asOf = page.as_of;
      this.total = page.total;
      this.problem = null;
    } catch (error) {
      if (stop.signal.aborted) return;
      this.problem = Problem.from(error);
    }
    this.#asked.delete(0);
    this.loaded = true;
    this.#came += 1;
  }

  /** Reads what is in sight; pages that went out of sight before they came are not waited for. */
  want(first: number, last: number): void {
    const [from, to] = [Math.floor(first / PAGE), Math.floor(Math.max(first, last) / PAGE)];
    for (const [page, stop] of this.#asked) {
      if (page < from - 2 || page > to + 2) {
        stop.abort();
        this.#asked.delete(page);
      }
    }
    for (let page = from; page <= to; page++) void this.#read(page);
  }

  /** Returns the pictures of a range, reading what lacks. */
  async range(first: number, last: number): Promise<Picture[]> {
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page++) await this.#read(page);
    const found: Picture[] = [];
    for (let index = first; index <= last; index++) {
      const picture = this.at(index);
      if (picture) found.push(picture);
    }
    return found;
  }

  async #read(page: number): Promise<void> {
    if (this.#pages.has(page) || this.#asked.has(page) || page * PAGE >= this.total) return;
    const stop = new AbortController();
    this.#asked.set(page, stop);
    try {
      const { items } = await listPictures(this.#filter, page * PAGE, PAGE, this.#asOf, stop.signal);
      if (stop.signal.aborted) return;
      this.#pages.set(page, items);
      this.#forget(page);
      this.#came += 1;
    } catch (error) {
      if (!stop.signal.aborted) this.problem = Problem.from(error);
    } finally {
      if (this.#asked.get(page) === stop) this.#asked.delete(page);
    }
  }

  /** Drops the pages farthest from where one looks. */
  #forget(near: number): void {
    while (this.#pages.size > KEPT_PAGES) {
      const farthest = [...this.#pages.keys()].reduce((one, other) =>
        Math.abs(one - near) > Math.abs(other - near) ? one : other,
      );
      this.#pages.delete(farthest);
    }
  }
}
