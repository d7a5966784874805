/** How the server is, looked at again and again while somebody looks. */
import { Problem } from "../api/problem";
import { readSystem } from "../api/system";
import type { System } from "../api/types";
import { connection } from "./connection.svelte";

const EVERY_MS = 2000;
const KEPT = 60;

export class SystemWatch {
  now: System | null = $state.raw(null);
  problem: Problem | null = $state.raw(null);
  /** Jobs that waited and ran, the latest last. */
  busy: number[] = $state.raw([]);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watching = true;

  constructor() {
    void this.#look();
  }

  close(): void {
    this.#watching = false;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    try {
      // A token that was asked for is not asked for again and again.
      if (connection.token === "fine" && (!document.hidden || !this.now)) {
        this.now = await readSystem();
        this.busy = [...this.busy, this.now.queued + this.now.running].slice(-KEPT);
        this.problem = null;
      }
    } catch (error) {
      this.problem = Problem.from(error);
    }
    if (this.#watching) this.#timer = setTimeout(() => void this.#look(), EVERY_MS);
  }
}
