/** The graphs that the server has; details are read once each. */
import { listGraphs, readGraph } from "../api/graphs";
import { Problem } from "../api/problem";
import type { Graph, GraphItem } from "../api/types";

class Graphs {
  items: GraphItem[] = $state.raw([]);
  loaded = $state(false);
  /** Whether all details were read, but for those of servers that are away. */
  detailed = $state(false);
  problem: Problem | null = $state(null);
  /** Details that were read so far. */
  known: Record<string, Graph> = $state.raw({});
  #details = new Map<string, Promise<Graph>>();

  async load(): Promise<void> {
    try {
      this.items = await listGraphs();
      this.loaded = true;
      this.problem = null;
    } catch (error) {
      this.problem = Problem.from(error);
    }
  }

  /** Reads the details of all graphs, for views that choose among them by what they take. */
  async loadDetails(): Promise<void> {
    await Promise.allSettled(this.items.map((item) => this.detail(item.name)));
    this.detailed = true;
  }

  /** The graphs of which it is known that they suit. */
  suiting(suits: (graph: Graph) => boolean): GraphItem[] {
    return this.items.filter(({ name }) => this.known[name] && suits(this.known[name]));
  }

  /** The first that suits, once it is known that none before it does. */
  first(suits: (graph: Graph) => boolean): GraphItem | undefined {
    const found = this.items.find(({ name }) =>
      this.known[name] ? suits(this.known[name]) : !this.detailed,
    );
    return found && this.known[found.name] ? found : undefined;
  }

  detail(name: string): Promise<Graph> {
    let found = this.#details.get(name);
    if (!found) {
      found = readGraph(name);
      found.then(
        (graph) => (this.known = { ...this.known, [name]: graph }),
        () => this.#details.delete(name),
      );
      this.#details.set(name, found);
    }
    return found;
  }
}

export const graphs = new Graphs();
