import type { Form } from "../state/form.svelte";
import { toasts } from "../state/toasts.svelte";

/** Empties a form; that can be undone. */
export function clearForm(form: Form): void {
  form.restore({});
  toasts.say("The form is empty.", () => form.undo());
}
