/** Boards, by name. */
import { listBoards } from "../api/boards";
import type { Board } from "../api/types";
import { toasts } from "./toasts.svelte";

class Boards {
  all: Board[] = $state.raw([]);
  loaded = $state(false);

  async load(): Promise<void> {
    try {
      this.all = await listBoards();
      this.loaded = true;
    } catch (error) {
      toasts.fail("The boards could not be read.", error);
    }
  }
}

export const boards = new Boards();
