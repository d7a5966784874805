/** Keys and what they do; views add theirs while they are shown, and `?` lists those that work there. */
import { untrack } from "svelte";

export interface Shortcut {
  /** As `KeyboardEvent.key`, after "mod+" for Ctrl or Command and "shift+"; "g c" is one key after the other. */
  keys: string[];
  does: string;
  group: string;
  /** Keys to show in the list, where the first of them does not say all. */
  shown?: string[];
  /** Lacks where what has the focus hears the key itself. */
  run?: (event: KeyboardEvent) => void;
  /** Also while a text field has the focus. */
  inFields?: boolean;
  /** Also while the full view lies over the page. */
  inFullView?: boolean;
}

const SEQUENCE_MS = 1200;

class Shortcuts {
  all: Shortcut[] = $state.raw([]);
  #before = { name: "", at: 0 };

  constructor() {
    addEventListener("keydown", (event) => this.#press(event));
  }

  /** Adds shortcuts; returns what takes them away again, for `$effect`. */
  add(shortcuts: Shortcut[]): () => void {
    // Who adds some does not depend on which others there are.
    untrack(() => (this.all = [...this.all, ...shortcuts]));
    return () => untrack(() => (this.all = this.all.filter((shortcut) => !shortcuts.includes(shortcut))));
  }

  /** Those that work now: over the page lies the full view, or a dialog, or nothing. */
  working(): Shortcut[] {
    const over = [...document.querySelectorAll("dialog[open]")];
    if (!over.length) return this.all;
    const full = over.every((one) => one.hasAttribute("data-full-view"));
    return this.all.filter((shortcut) => shortcut.inFields || (full && shortcut.inFullView));
  }

  #press(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.altKey) return;
    const name = nameOf(event);
    if (["Enter", " "].includes(name) && isPressed(event.target)) return;
    const typing = isField(event.target);
    const before = event.timeStamp - this.#before.at < SEQUENCE_MS ? `${this.#before.name} ${name}` : name;
    this.#before = { name, at: event.timeStamp };
    const found = this.working().findLast(
      (shortcut) =>
        (shortcut.keys.includes(before) || shortcut.keys.includes(name)) && (!typing || shortcut.inFields),
    );
    if (!found?.run) return;
    event.preventDefault();
    found.run(event);
  }
}

export function nameOf(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "shiftKey">): string {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shifted = event.shiftKey && (event.key.length > 1 || /[a-z]/.test(key));
  return `${event.ctrlKey || event.metaKey ? "mod+" : ""}${shifted ? "shift+" : ""}${key}`;
}

function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement)
    return !["checkbox", "radio", "button", "range"].includes(target.type);
  return target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName);
}

/** Whether Enter and the space bar do what the element under the focus is there for. */
function isPressed(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("a, button, input, summary, [role=button]");
}

export const shortcuts = new Shortcuts();
