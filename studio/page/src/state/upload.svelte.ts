/** A file on its way to the server. Where that does not answer or has no time, it is sent again. */
import { uploadPicture } from "../api/pictures";
import { Problem } from "../api/problem";
import type { Picture } from "../api/types";
import { connection } from "./connection.svelte";

const MOST_TRIES = 5;
const PAUSE_S = 2;

export class Upload {
  /** Where the page finds it until the server has it. */
  readonly url: string;
  /** Whether it waits for the server. */
  waits = $state(false);
  /** What the server keeps of it. */
  picture: Picture | null = null;
  #stop = new AbortController();

  constructor(readonly file: File) {
    this.url = URL.createObjectURL(file);
  }

  /** Sends it; returns whether it arrived or was stopped on the way. Throws what the server has against it. */
  async send(): Promise<boolean> {
    const { signal } = this.#stop;
    // Kept here, as the file may be moved before the server is back.
    const kept = new File([await this.file.arrayBuffer()], this.file.name, { type: this.file.type });
    for (let tries = 1; !signal.aborted; tries += 1) {
      try {
        this.waits = false;
        this.picture = await uploadPicture(kept, signal);
        return !signal.aborted;
      } catch (error) {
        if (signal.aborted) return false;
        const problem = Problem.from(error);
        if (tries === MOST_TRIES || !(problem.offline || problem.unavailable)) throw problem;
        this.waits = true;
        await (problem.offline ? connection.back() : pause(problem.retryAfter_s ?? PAUSE_S));
      }
    }
    return false;
  }

  /** Ends it: it arrived, or is not wanted any more. */
  end(): void {
    this.#stop.abort();
    URL.revokeObjectURL(this.url);
  }
}

const pause = (s: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1000 * s));
