/** What pictures can be narrowed to: the graphs that there are, their priors and versions. */
import { graphs } from "./graphs.svelte";
import { switchesOf } from "../form/values";

class Facets {
  graphs: string[] = $state.raw([]);
  priors: string[] = $state.raw([]);
  versions: string[] = $state.raw([]);

  async load(): Promise<void> {
    if (!graphs.loaded) await graphs.load();
    const items = graphs.items.filter((item) => item.kind === "graph");
    this.graphs = items.map((item) => item.name);
    this.versions = [...new Set(items.flatMap((item) => item.bundles))];
    const details = await Promise.all(this.graphs.map((name) => graphs.detail(name).catch(() => null)));
    this.priors = [
      ...new Set(details.flatMap((graph) => (graph && switchesOf(graph)?.schema.items?.enum) ?? [])),
    ];
  }
}

export const facets = new Facets();
