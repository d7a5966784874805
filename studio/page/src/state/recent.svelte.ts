/** The pictures that came last, page by page. */
import { listPictures } from "../api/pictures";
import { Problem } from "../api/problem";
import type { Picture } from "../api/types";

const PAGE = 48;

export class Recent {
  pictures: Picture[] = $state.raw([]);
  total = $state(0);
  loaded = $state(false);
  problem: Problem | null = $state.raw(null);

  async more(): Promise<void> {
    try {
      const page = await listPictures({}, this.pictures.length, PAGE);
      this.pictures = [...this.pictures, ...page.items];
      this.total = page.total;
    } catch (error) {
      this.problem = Problem.from(error);
    }
    this.loaded = true;
  }
}
