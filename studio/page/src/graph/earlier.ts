/** What earlier runs of a graph tell of the next one: how long it takes, and which pictures it draws. */
import type { Graph, NodeState, TreeNode } from "../api/types";
import { rolls, switchable, switchesOf, type Values } from "../form/values";
import type { Shown } from "./results";

export interface Earlier {
  /** How long each node took when it last had something to do. */
  seconds: Record<string, number>;
  /** Pictures for each name that is switched on, by all that decides it; and when last asked. */
  each: Record<string, number>;
  last: number;
  /** Of the last picture: width by height, and how many scores it had. */
  ratio: number;
  scores: number;
}

export const NOTHING: Earlier = { seconds: {}, each: {}, last: 1, ratio: 1, scores: 0 };

interface Told {
  state: NodeState;
  progress: number | null;
  seconds: number | null;
  cached: boolean;
}

/** Adds what a run that has ended tells. */
export function learn(
  earlier: Earlier,
  graph: Graph,
  inputs: Values,
  nodes: Record<string, Told>,
  pictures: Shown[],
): Earlier {
  const took = Object.entries(nodes).flatMap(([name, { seconds, cached }]) =>
    seconds === null || cached ? [] : [[name, seconds] as const],
  );
  const seconds = { ...earlier.seconds, ...Object.fromEntries(took) };
  const [first] = pictures;
  if (!first) return { ...earlier, seconds };
  const last = pictures.length / switchedOn(graph, inputs);
  const each = { ...earlier.each, [sizes(graph, inputs)]: last };
  return {
    seconds,
    each,
    last,
    ratio: first.width / first.height,
    scores: Object.keys(first.scores).length,
  };
}

/** How many pictures a run draws, as far as earlier ones tell. */
export function pictureCount(earlier: Earlier, graph: Graph, inputs: Values): number {
  const given = new Set(graph.inputs.map((input) => input.name));
  const draws = graph.outputs.some(
    ({ name, kind, is_prior }) => kind !== "value" && !is_prior && !given.has(name),
  );
  const each = earlier.each[sizes(graph, inputs)] ?? earlier.last;
  return draws ? Math.max(1, Math.round(each * switchedOn(graph, inputs))) : 0;
}

/** How far a run is, 0 to 1: each node counts for as long as it took before, or as one of those does. */
export function share(earlier: Earlier, tree: TreeNode, nodes: Record<string, Told>): number {
  const known = Object.values(earlier.seconds);
  const usual = known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : 1;
  let [whole, done] = [0, 0];
  for (const name of namesOf(tree)) {
    const weight = earlier.seconds[name] ?? usual;
    const node = nodes[name];
    whole += weight;
    done += weight * (node?.state === "done" ? 1 : (node?.progress ?? 0));
  }
  return whole ? done / whole : 0;
}

const namesOf = (tree: TreeNode): string[] => [tree.name, ...tree.children.flatMap(namesOf)];

function switchedOn(graph: Graph, inputs: Values): number {
  const switches = switchesOf(graph);
  const on = switches && (inputs[switches.name] as string[] | undefined);
  return Math.max(1, (on ?? switchable(graph, inputs)).length);
}

/** Whole numbers, and how long lists are: what decides how many pictures one name makes. */
function sizes(graph: Graph, inputs: Values): string {
  const switches = switchesOf(graph);
  return graph.inputs
    .filter((input) => input !== switches && !rolls(input.schema))
    .map(({ name }) => [name, inputs[name]] as const)
    .flatMap(([name, value]) =>
      Array.isArray(value)
        ? [`${name}:${value.length}`]
        : Number.isInteger(value)
          ? [`${name}=${value}`]
          : [],
    )
    .join(" ");
}
