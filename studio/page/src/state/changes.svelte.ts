/** What was changed on pictures since they were listed, so that every view shows the same at once. */
import type { Picture } from "../api/types";

class Changes {
  #marks: Record<string, Partial<Picture>> = $state({});
  /** Deleted here, until a listing is read anew. */
  gone: Record<string, true> = $state({});

  mark(id: string, marks: Partial<Picture>): void {
    this.#marks[id] = { ...this.#marks[id], ...marks };
  }

  of(picture: Picture): Picture {
    const marks = this.#marks[picture.id];
    return marks ? { ...picture, ...marks } : picture;
  }

  remove(ids: string[]): void {
    ids.forEach((id) => (this.gone[id] = true));
  }

  bringBack(ids: string[]): void {
    ids.forEach((id) => delete this.gone[id]);
  }
}

export const changes = new Changes();
