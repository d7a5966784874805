/** Runs a form: refused inputs are shown where they are, everything else as a message. */
import type { Form } from "../state/form.svelte";
import { history } from "../state/history.svelte";
import type { Run } from "../state/run.svelte";
import { toasts } from "../state/toasts.svelte";

/** Returns whether the job was taken. */
export async function startRun(form: Form, run: Run): Promise<boolean> {
  form.strict = true;
  if (!form.ready || run.active) return false;
  try {
    const job = await run.start(form.request(), form.bundle);
    history.add(job);
    return true;
  } catch (error) {
    const rest = form.refuse(error);
    if (rest) toasts.fail("This could not be run.", error);
    return false;
  }
}
