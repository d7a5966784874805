import type { Input } from "../api/types";
import type { Form } from "../state/form.svelte";

/** What every widget of a form is given. */
export interface WidgetProps {
  id: string;
  input: Input;
  form: Form;
  invalid: boolean;
}
