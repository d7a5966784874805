/** Cancels a job, whether it waits or runs. */
import { cancelJob as askToCancel } from "../api/jobs";
import type { Job } from "../api/types";
import { history } from "../state/history.svelte";
import { toasts } from "../state/toasts.svelte";

export async function cancelJob(job: Job | null): Promise<void> {
  if (!job) return;
  try {
    history.add(await askToCancel(job.id));
  } catch (error) {
    toasts.fail("This could not be cancelled.", error);
  }
}
