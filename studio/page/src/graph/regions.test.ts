import { expect, test } from "vitest";
import type { Graph } from "../api/types";
import { readRegions } from "./regions";

const graph = {
  inputs: [{ name: "texts", kind: "texts", schema: {} }],
  outputs: [
    { name: "masks", kind: "images", schema: {} },
    { name: "outlines", kind: "value", schema: { type: "object" } },
    {
      name: "areas",
      kind: "value",
      schema: { dtype: "int64", shape: [-1], description: "Area", unit: "px" },
    },
    { name: "fit_of_it", kind: "value", schema: { dtype: "float32", shape: [-1] } },
    { name: "shares", kind: "value", schema: { dtype: "float32", shape: [-1, -1] } },
  ],
} as unknown as Graph;

const square = (side: number): [number, number][] => [
  [0, 0],
  [side, 0],
  [side, side],
  [0, side],
];

test("parts are told of in the words of the signature, a text that was given twice once", () => {
  const { all, bars } = readRegions(
    graph,
    {
      masks: [{ picture: "one" }],
      outlines: { masks: [[[square(10), square(4)], [square(2)]]] },
      areas: [1288],
      fit_of_it: [1],
      shares: [
        [0.25, 0.5, 0.25],
        [0.4, 0.2, 0.4],
      ],
    },
    { texts: ["a cone", "a ball", "a cone"] },
  );
  const [part] = all;
  expect(part?.facts).toEqual([`Area ${(1288).toLocaleString()} px`, "Fit of it 1.00"]);
  expect(part?.area).toBe(100 - 16 + 4);
  expect(part?.bars).toEqual([
    { text: "a cone", share: 0.8 },
    { text: "a ball", share: 0.2 },
  ]);
  expect(bars.map((bar) => bar.share)).toEqual([0.5, 0.5]);
});
