import { expect, test } from "vitest";
import type { Graph, TreeNode } from "../api/types";
import { learn, NOTHING, pictureCount, share } from "./earlier";
import type { Shown } from "./results";

const node = (name: string, children: TreeNode[] = []): TreeNode =>
  ({ name, children }) as unknown as TreeNode;
const graph = {
  tree: node("rank", [node("draw", [node("depth"), node("pose")])]),
  inputs: [
    { name: "which", kind: "choices", schema: { type: "array", items: { enum: ["depth", "pose"] } } },
    { name: "copies", kind: "integer", schema: { type: "integer", maximum: 9 } },
  ],
  outputs: [
    { name: "depth", kind: "image", is_prior: true },
    { name: "pose", kind: "image", is_prior: true },
    { name: "pictures", kind: "images", is_prior: false },
  ],
} as unknown as Graph;

const told = (state: "waiting" | "running" | "done", progress: number | null = null, seconds = 0) => ({
  state,
  progress,
  seconds,
  cached: false,
});
const pictures = (count: number) =>
  Array.from({ length: count }, () => ({ width: 3, height: 2, scores: {} }) as Shown);

test("every node of the graph counts, whether it has begun or not", () => {
  expect(share(NOTHING, graph.tree, {})).toBe(0);
  expect(share(NOTHING, graph.tree, { depth: told("done") })).toBe(0.25);
  expect(share(NOTHING, graph.tree, { depth: told("done"), draw: told("running", 0.5) })).toBe(0.375);
});

test("a node counts for as long as it took before", () => {
  const nodes = { depth: told("done", 1, 1), pose: told("done", 1, 1), draw: told("done", 1, 8) };
  const earlier = learn(NOTHING, graph, {}, nodes, []);
  const now = { depth: told("done"), pose: told("done"), draw: told("running", 0.5) };
  expect(share({ ...earlier, seconds: { ...earlier.seconds, rank: 0 } }, graph.tree, now)).toBe(0.6);
});

test("there are as many pictures as the last time for each that is switched on", () => {
  expect(pictureCount(NOTHING, graph, {})).toBe(2);
  const earlier = learn(NOTHING, graph, { copies: 3 }, {}, pictures(6));
  expect(earlier.ratio).toBe(1.5);
  expect(pictureCount(earlier, graph, { copies: 3, which: ["pose"] })).toBe(3);
  const later = learn(earlier, graph, {}, {}, pictures(2));
  expect(pictureCount(later, graph, { copies: 3 })).toBe(6);
  expect(pictureCount(later, graph, {})).toBe(2);
  const reads = { ...graph, outputs: graph.outputs.filter((output) => output.is_prior) };
  expect(pictureCount(NOTHING, reads, {})).toBe(0);
});
