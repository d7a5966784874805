/** Short words at the edge of the screen: what was done, what went wrong, and how to undo it. */
import { Problem } from "../api/problem";

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
  undo?: () => void | Promise<void>;
}

const SHOWN_MS = 8000;

class Toasts {
  shown: Toast[] = $state([]);
  #next = 1;

  say(text: string, undo?: Toast["undo"]): void {
    this.#add({ id: this.#next++, text, bad: false, undo });
  }

  /** Says what went wrong, unless it is that a token is asked for: a dialog says that. */
  fail(what: string, error: unknown): void {
    const problem = Problem.from(error);
    if (problem.status === 401) return;
    this.#add({
      id: this.#next++,
      text: [what, problem.message, problem.advice].filter(Boolean).join(" "),
      bad: true,
    });
  }

  drop(id: number): void {
    this.shown = this.shown.filter((toast) => toast.id !== id);
  }

  /** Undoes what was done last, if it still can be. */
  async undoLast(): Promise<void> {
    const last = this.shown.findLast((toast) => toast.undo);
    if (!last) return;
    this.drop(last.id);
    await last.undo?.();
  }

  #add(toast: Toast): void {
    this.shown = [...this.shown.slice(-2), toast];
    setTimeout(() => this.drop(toast.id), toast.bad ? 2 * SHOWN_MS : SHOWN_MS);
  }
}

export const toasts = new Toasts();
