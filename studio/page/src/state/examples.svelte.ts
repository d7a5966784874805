/** Pictures to begin with; read once. */
import { listExamples } from "../api/pictures";
import type { Picture } from "../api/types";

class Examples {
  all: Picture[] = $state.raw([]);
  #asked = false;

  async load(): Promise<void> {
    if (this.#asked) return;
    this.#asked = true;
    this.all = await listExamples().catch(() => {
      this.#asked = false;
      return [];
    });
  }
}

export const examples = new Examples();
