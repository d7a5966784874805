import { expect, test } from "vitest";
import type { Graph } from "../api/types";
import { Prompts } from "./prompts.svelte";

const graph = {
  inputs: ["points", "labels", "boxes"].map((kind) => ({ name: `the-${kind}`, kind })),
} as unknown as Graph;
const SIZE = { width: 100, height: 80 };

test("points and boxes of several objects are rows of one length", () => {
  const prompts = new Prompts();
  prompts.point(10, 20, true);
  prompts.point(12, 22, false);
  prompts.next();
  prompts.box([40, 30, 60, 50]);
  expect(prompts.values(graph, SIZE)).toEqual({
    "the-points": [
      [
        [10, 20],
        [12, 22],
      ],
      [
        [0, 0],
        [0, 0],
      ],
    ],
    "the-labels": [
      [1, 0],
      [-1, -1],
    ],
    "the-boxes": [
      [0, 0, 30, 40],
      [40, 30, 60, 50],
    ],
  });
});

test("what a request said is pointed at again, and the last thing is undone", () => {
  const prompts = new Prompts();
  prompts.read(graph, { "the-points": [[[5, 6]]], "the-labels": [[0]] });
  expect(prompts.objects).toEqual([{ points: [{ x: 5, y: 6, inside: false }], box: null }]);
  prompts.point(7, 8, true);
  prompts.undo();
  expect(prompts.values(graph, SIZE)).toEqual({ "the-points": [[[5, 6]]], "the-labels": [[0]] });
});
