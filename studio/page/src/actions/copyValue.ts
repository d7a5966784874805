import { toasts } from "../state/toasts.svelte";

/** Copies a value as a whole: words as they are, all else as JSON. */
export async function copyValue(value: unknown): Promise<void> {
  try {
    await navigator.clipboard.writeText(typeof value === "string" ? value : JSON.stringify(value));
    toasts.say("Copied.");
  } catch (error) {
    toasts.fail("Not copied.", error);
  }
}
