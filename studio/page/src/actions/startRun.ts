/** Runs a form: refused inputs are shown where they are, everything else beside the button. */
import { Problem } from "../api/problem";
import type { Form } from "../state/form.svelte";
import { history } from "../state/history.svelte";
import type { Run } from "../state/run.svelte";
import { toasts } from "../state/toasts.svelte";
import { cancelJob } from "./cancelJob";

/** Returns whether the job was taken; where another one runs, it waits its turn, and that one stays in sight. */
export async function startRun(form: Form, run: Run): Promise<boolean> {
  form.strict = true;
  if (!form.ready || run.starting) return false;
  run.unsent = "";
  try {
    const job = await run.start(form.request(), form.bundle);
    history.add(job);
    if (run.job?.id === job.id) form.of = job.id;
    else toasts.say("One more run. The history shows it.", () => cancelJob(job));
    return true;
  } catch (error) {
    run.unsent = why(form, error);
    return false;
  }
}

function why(form: Form, error: unknown): string {
  const problem = Problem.from(error);
  if (problem.offline) return "Not sent: the server does not answer. Run it again once it is back.";
  const words = form.refuse(problem) || "see what is marked in the form.";
  return [`Not run: ${words}`, problem.advice].filter(Boolean).join(" ");
}
