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
  /** Counts up with each other filter, as one looks at what it finds from the top. */
  listing = $state(0);
  #pages = new Map<number, Picture[]>();
  #asked = new Map<number, AbortController>();
  #anew: AbortController | null = null;
  #asOf: number | undefined;
  #filter: Filter = {};
  /** The first and the last page that are in sight. */
  #sight = [0, 0];
  /** Counts up with each page that came, so that who looks looks again. */
  #came = $state(0);

  at = (index: number): Picture | undefined => {
    void this.#came;
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  };

  /** Begins anew with another filter; what is shown stays until the first page came. */
  async narrow(filter: Filter): Promise<void> {
    this.#filter = filter;
    this.#sight = [0, 0];
    const problem = await this.#readAnew();
    if (problem) {
      this.total = 0;
      this.loaded = false;
    } else if (problem === null) {
      this.loaded = true;
      this.listing += 1;
    }
  }

  /** Reads what is in sight once more, as pictures came or went; where one looks stays. */
  async reread(): Promise<void> {
    await this.#readAnew();
  }

  /** Returns what went wrong, or undefined where something else is read by now. */
  async #readAnew(): Promise<Problem | null | undefined> {
    this.#forgetAsked();
    this.#anew?.abort();
    const { signal } = (this.#anew = new AbortController());
    const pages = new Map<number, Picture[]>();
    let asOf: number | undefined;
    let total = 0;
    try {
      for (let page = this.#sight[0] ?? 0; page <= (this.#sight[1] ?? 0); page++) {
        const found = await listPictures(this.#filter, page * PAGE, PAGE, asOf, signal);
        asOf = found.as_of;
        total = found.total;
        pages.set(page, found.items);
      }
      if (signal.aborted) return undefined;
      this.#forgetAsked();
      this.#pages = pages;
      this.#asOf = asOf;
      this.total = total;
      this.problem = null;
    } catch (error) {
      if (signal.aborted) return undefined;
      this.problem = Problem.from(error);
    }
    this.#came += 1;
    return this.problem;
  }

  #forgetAsked(): void {
    this.#asked.forEach((one) => one.abort());
    this.#asked.clear();
  }

  /** Reads what is in sight; pages that went out of sight before they came are not waited for. */
  want(first: number, last: number): void {
    const from = Math.floor(Math.max(0, first) / PAGE);
    const to = Math.floor(Math.max(0, Math.min(last, this.total - 1)) / PAGE);
    this.#sight = [Math.min(from, to), to];
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

  /** Finds where a picture stands, as its age or its likeness puts it; -1 where that is not on the wall. */
  async find({ id, created_at }: Picture): Promise<number> {
    const byLikeness = this.#filter.like !== undefined || this.#filter.about !== undefined;
    const newer = { ...this.#filter, since: created_at };
    const about = byLikeness ? 0 : (await listPictures(newer, 0, 1, this.#asOf)).total;
    const first = Math.max(0, about - PAGE / 2);
    const place = (await this.range(first, first + PAGE)).findIndex((picture) => picture.id === id);
    return place < 0 ? -1 : first + place;
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
