/** A blind trial of two arms: pair after pair, and how the arms stand. */
import { choose, nextPair, readPair, type Asked } from "../api/comparisons";
import type { Choice, Pair, Revealed, Tally } from "../api/types";
import { Problem } from "../api/problem";
import { rolls } from "../form/values";
import { graphs } from "./graphs.svelte";

const LOOK_MS = 500;
const DRAWN_SEED_LIMIT = 2 ** 31;

/** What an address asks for; null where that cannot be read. */
export function readAsked(said: string): Asked | null {
  try {
    return JSON.parse(said) as Asked;
  } catch {
    return null;
  }
}

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
  /** Whether the gallery has no pair that was not judged yet. */
  readonly exhausted = $derived(this.problem?.status === 404 && !this.asked?.inputs);

  async begin(asked: Asked): Promise<void> {
    this.asked = asked;
    this.tally = null;
    this.answered = 0;
    await this.next();
  }

  /** Shows the next pair; one that is drawn has a seed of its own. */
  async next(): Promise<void> {
    if (!this.asked) return;
    const round = ++this.#round;
    this.busy = true;
    this.problem = this.pair = this.revealed = null;
    try {
      let pair = await nextPair({ ...this.asked, inputs: await this.#seeded(this.asked) });
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

  async #seeded({ graph, inputs }: Asked): Promise<Asked["inputs"]> {
    if (!inputs) return null;
    const { inputs: all } = await graphs.detail(graph ?? "");
    const seed = all.find(({ schema }) => rolls(schema))?.name;
    return seed ? { ...inputs, [seed]: Math.floor(Math.random() * DRAWN_SEED_LIMIT) } : inputs;
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
