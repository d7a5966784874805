/** A graph that is being worked with: its form and its run, which stay while another view is looked at. */
import { Problem } from "../api/problem";
import type { Graph } from "../api/types";
import { Form } from "./form.svelte";
import { graphs } from "./graphs.svelte";
import { Run } from "./run.svelte";

export class Workbench {
  graph: Graph | null = $state.raw(null);
  form: Form | null = $state.raw(null);
  run: Run | null = $state.raw(null);
  problem: Problem | null = $state.raw(null);
  #kept = new Map<string, { graph: Graph; form: Form; run: Run }>();
  #wanted = "";

  /** Takes the key under which the last graph is remembered, and which graphs belong here: all, if not said. */
  constructor(
    readonly key: string,
    readonly suits?: (graph: Graph) => boolean,
  ) {}

  readonly choices = $derived.by(() => (this.suits ? graphs.suiting(this.suits) : graphs.items));
  /** Whether it is known that no graph belongs here. */
  readonly none = $derived.by(
    () => graphs.loaded && !this.choices.length && (graphs.detailed || !graphs.items.length),
  );
  /** The graph that was worked with last, or the first that there is. */
  readonly last = $derived.by(() => {
    const name = this.graph?.name ?? localStorage.getItem(this.key);
    const first = this.suits ? graphs.first(this.suits) : graphs.items[0];
    return (this.choices.find((one) => one.name === name) ?? first)?.name;
  });

  async open(name: string): Promise<void> {
    this.#wanted = name;
    if (this.graph?.name === name) return;
    try {
      let kept = this.#kept.get(name);
      if (!kept) {
        const graph = await graphs.detail(name);
        kept = this.#kept.get(name) ?? { graph, form: new Form(graph), run: new Run(graph) };
        this.#kept.set(name, kept);
      }
      if (this.#wanted !== name) return;
      if (this.form) kept.form.inherit(this.form);
      this.graph = kept.graph;
      this.form = kept.form;
      this.run = kept.run;
      this.problem = null;
      localStorage.setItem(this.key, name);
    } catch (error) {
      if (this.#wanted !== name) return;
      this.graph = this.form = this.run = null;
      this.problem = Problem.from(error);
    }
  }
}

export const creating = new Workbench("studio-graph");

/** Graphs by which one looks at parts of a picture: they take boxes or points. */
export const analyzing = new Workbench("studio-analyze", (graph) =>
  graph.inputs.some((input) => input.kind === "boxes" || input.kind === "points"),
);
