/** What all blind trials say so far. */
import { listTallies } from "../api/comparisons";
import type { Arm, Tally } from "../api/types";
import { toasts } from "./toasts.svelte";

class Tallies {
  all: Tally[] = $state.raw([]);
  loaded = $state(false);

  async load(): Promise<void> {
    try {
      this.all = await listTallies();
      this.loaded = true;
    } catch (error) {
      toasts.fail("The tallies could not be read.", error);
    }
  }
}

export const tallies = new Tallies();

/** Says an arm in words; its graph only where that is not the one of both. */
export function armInWords(arm: Arm, graph: string): string {
  const inputs = Object.entries(arm.inputs ?? {}).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  return (
    [arm.graph === graph ? "" : arm.graph, arm.bundle, arm.prior, ...inputs].filter(Boolean).join(", ") ||
    "as it is"
  );
}
