import { loadWeights } from "../api/graphs";
import { toasts } from "../state/toasts.svelte";

/** Loads the weights of a graph, so that its first run need not wait for them. */
export async function loadGraph(name: string): Promise<void> {
  try {
    await loadWeights(name);
    toasts.say(`${name} is being loaded.`);
  } catch (error) {
    toasts.fail(`${name} is not loaded.`, error);
  }
}
