/** Where the nodes of a graph are drawn: a tree in Seldon's words, in the order in which data flows. */
import type { TreeNode } from "../api/types";

export const REQUEST = "";

export interface Spot {
  name: string;
  node: TreeNode | null;
  /** Steps from the request, and the place beside others, both from 0; places may be halves. */
  step: number;
  lane: number;
}

export interface Edge {
  from: string;
  to: string;
}

export interface Drawing {
  spots: Spot[];
  edges: Edge[];
  steps: number;
  lanes: number;
}

interface Block extends Drawing {
  entries: string[];
  exits: string[];
}

/** Lays out a graph, its request first. */
export function layOut(root: TreeNode): Drawing {
  const { spots, edges, steps, lanes } = joined(single(null), block(root));
  return { spots, edges, steps, lanes };
}

function block(node: TreeNode): Block {
  const self = single(node);
  if (!node.children.length) return self;
  const children = stacked(node.children.map(block));
  const after = node.type === "COMBINER" || node.type === "OUTPUT_TRANSFORMER";
  return after ? joined(children, self) : joined(self, children);
}

function single(node: TreeNode | null): Block {
  const name = node?.name ?? REQUEST;
  return {
    spots: [{ name, node, step: 0, lane: 0 }],
    edges: [],
    steps: 1,
    lanes: 1,
    entries: [name],
    exits: [name],
  };
}

/** Puts one block behind another, both centred. */
function joined(first: Block, second: Block): Block {
  const lanes = Math.max(first.lanes, second.lanes);
  return {
    spots: [
      ...moved(first, 0, (lanes - first.lanes) / 2),
      ...moved(second, first.steps, (lanes - second.lanes) / 2),
    ],
    edges: [
      ...first.edges,
      ...second.edges,
      ...first.exits.flatMap((from) => second.entries.map((to) => ({ from, to }))),
    ],
    steps: first.steps + second.steps,
    lanes,
    entries: first.entries,
    exits: second.exits,
  };
}

/** Puts blocks side by side. */
function stacked(blocks: Block[]): Block {
  const steps = Math.max(...blocks.map((one) => one.steps));
  let lanes = 0;
  const spots: Spot[] = [];
  for (const one of blocks) {
    spots.push(...moved(one, 0, lanes));
    lanes += one.lanes;
  }
  return {
    spots,
    edges: blocks.flatMap((one) => one.edges),
    steps,
    lanes,
    entries: blocks.flatMap((one) => one.entries),
    exits: blocks.flatMap((one) => one.exits),
  };
}

const moved = (one: Block, step: number, lane: number): Spot[] =>
  one.spots.map((spot) => ({ ...spot, step: spot.step + step, lane: spot.lane + lane }));
