import { choosePicture } from "../api/jobs";
import type { Run } from "../state/run.svelte";
import { toasts } from "../state/toasts.svelte";

/** Says that a picture is the best of its run, or no longer. */
export async function chooseBest(run: Run, picture: string | null): Promise<void> {
  if (!run.job) return;
  try {
    run.job = await choosePicture(run.job.id, picture);
  } catch (error) {
    toasts.fail("The choice was not kept.", error);
  }
}
