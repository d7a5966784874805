import { expect, test } from "vitest";
import type { TreeNode } from "../api/types";
import { layOut, REQUEST } from "./layout";

const node = (name: string, type = "MODEL", children: TreeNode[] = []): TreeNode => ({
  name,
  entry: name,
  type,
  children,
  summary: "",
  outputs: [],
});

test("what a combiner unites stands side by side before it, the request first", () => {
  const drawing = layOut(
    node("draw", "OUTPUT_TRANSFORMER", [node("all", "COMBINER", [node("one"), node("two")])]),
  );
  const at = Object.fromEntries(drawing.spots.map(({ name, step, lane }) => [name, [step, lane]]));
  expect(at).toEqual({ [REQUEST]: [0, 0.5], one: [1, 0], two: [1, 1], all: [2, 0.5], draw: [3, 0.5] });
  expect(drawing.edges.map(({ from, to }) => `${from}>${to}`).sort()).toEqual([
    ">one",
    ">two",
    "all>draw",
    "one>all",
    "two>all",
  ]);
});

test("a transformer stands before its child, a router before all of its own", () => {
  const chain = layOut(node("first", "TRANSFORMER", [node("then")]));
  expect(chain.spots.map(({ name, step }) => `${name}${step}`)).toEqual([`${REQUEST}0`, "first1", "then2"]);
  const routed = layOut(
    node("way", "ROUTER", [node("short"), node("last", "OUTPUT_TRANSFORMER", [node("long")])]),
  );
  expect(routed.steps).toBe(4);
  expect(routed.edges).toContainEqual({ from: "way", to: "long" });
  expect(routed.edges).not.toContainEqual({ from: "short", to: "last" });
});
