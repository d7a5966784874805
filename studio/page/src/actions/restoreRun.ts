/** Brings back a run whole: its settings into the form, its pictures onto the stage. */
import type { Form } from "../state/form.svelte";
import type { Run } from "../state/run.svelte";
import { toasts } from "../state/toasts.svelte";

/** Shows a run; on the way to an address what was written into the form beside this very run stays. */
export async function restoreRun(id: string, form: Form, run: Run, how: "asked" | "address"): Promise<void> {
  try {
    const job = await run.show(id);
    if (!job || (how === "address" && form.of === id)) return;
    const before = Object.keys(form.values).length > 0;
    form.restore(job.inputs);
    form.bundle = job.bundle;
    form.of = id;
    if (before) toasts.say("The settings of this run are in the form again.", () => form.undo());
  } catch (error) {
    toasts.fail("This run could not be shown.", error);
  }
}
