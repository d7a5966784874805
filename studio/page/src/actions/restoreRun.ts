/** Brings back a run whole: its settings into the form, its pictures onto the stage. */
import type { Form } from "../state/form.svelte";
import type { Run } from "../state/run.svelte";
import { toasts } from "../state/toasts.svelte";

/** Shows a run; "quietly" is for a page that was loaded anew, where nothing is replaced. */
export async function restoreRun(id: string, form: Form, run: Run, how: "aloud" | "quietly"): Promise<void> {
  try {
    const job = await run.show(id);
    if (!job) return;
    form.restore(job.inputs);
    form.bundle = job.bundle;
    if (how === "aloud") toasts.say("The settings of this run are in the form again.", () => form.undo());
  } catch (error) {
    toasts.fail("This run could not be shown.", error);
  }
}
