/** A blind trial of two arms: pair after pair, and how the arms stand. */
import { choose, nextPair, readPair, type Asked } from "../api/comparisons";
import type { Arm, Choice, Pair, Revealed, Tally } from "../api/types";
import { Problem } from "../api/problem";

const LOOK_MS = 500;
const DRAWN_SEED_LIMIT = 2 ** 31;

export class Trial {
  asked: Asked | null = $state.raw(null);
  pair: Pair | null = $state.raw(null);
  /** What the last pair was, until the next one is shown. */
  revealed: Revealed | null = $state.raw(null);
  tally: Tally | null = $state.raw(null);
  problem: Problem | null = $state.raw(null);
  busy = $state(false);
  answered = $state(0);
  #round = 0;

  readonly ready = $derived(this.pair?.state === "ready" && !this.busy);

  async begin(
    graph: string,
    a: Arm,
    b: Arm,
    inputs: Record<string, unknown> | null,
    seedOf: string | null,
  ): Promise<void> {
    this.asked = { graph, a, b, inputs };
    this.tally = null;
    this.answered = 0;
    await this.next(seedOf);
  }

  /** Shows the next pair; one that is drawn has a seed of its own. */
  async next(seedOf: string | null): Promise<void> {
    if (!this.asked) return;
    const round = ++this.#round;
    this.busy = true;
    this.problem = this.pair = this.revealed = null;
    try {
      const { inputs } = this.asked;
      const seed = seedOf && inputs ? { [seedOf]: Math.floor(Math.random() * DRAWN_SEED_LIMIT) } : {};
      let pair = await nextPair({ ...this.asked, inputs: inputs && { ...inputs, ...seed } });
      while (pair.state === "drawing" && round === this.#round) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        pair = await readPair(pair.id);
      }
      if (round !== this.#round) return;
      this.pair = pair;
      if (pair.state === "failed") this.problem = Problem.read(500, pair.error);
    } catch (error) {
      if (round === this.#round) this.problem = Problem.from(error);
    } finally {
      if (round === this.#round) this.busy = false;
    }
  }

  async choose(choice: Choice): Promise<void> {
    if (!this.pair || !this.ready || this.revealed) return;
    this.busy = true;
    try {
      const revealed = await choose(this.pair.id, choice);
      this.revealed = revealed;
      this.tally = revealed.tally;
      this.answered += 1;
    } catch (error) {
      this.problem = Problem.from(error);
    } finally {
      this.busy = false;
    }
  }

  end(): void {
    this.#round += 1;
    this.asked = this.pair = this.revealed = null;
    this.busy = false;
  }
}
