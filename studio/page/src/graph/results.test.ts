import { expect, test } from "vitest";
import type { Graph, Picture } from "../api/types";
import { picturesOf } from "./results";

const output = (name: string, of: string[] = [], kind = "value") => ({
  name,
  kind,
  of,
  is_prior: false,
  schema: {},
});
const graph = {
  inputs: [{ name: "seeds" }],
  outputs: [
    output("drawn", [], "images"),
    output("masks", [], "images"),
    output("likeness", ["drawn"]),
    output("by", ["drawn"]),
    output("ranks"),
    output("seeds"),
  ],
} as unknown as Graph;

test("pictures come the best first, each with what lists beside them say of it", () => {
  const answered = {
    drawn: [{ hash: "a" }, { hash: "b" }, { hash: "c" }],
    masks: [{ hash: "m" }],
    likeness: [0.2, 0.9, 0.5],
    by: ["one", "two", "three"],
    ranks: [1, 2, 0],
    seeds: [0, 1, 2],
  };
  const shown = picturesOf(graph, answered, [{ id: "7", hash: "b" } as Picture]);
  expect(shown.map((one) => [one.words.by, one.scores.likeness, one.seed])).toEqual([
    ["two", 0.9, 1],
    ["three", 0.5, 2],
    ["one", 0.2, 0],
  ]);
  expect(shown[0]?.id).toBe("7");
  expect(Object.keys(shown[0]?.scores ?? {})).toEqual(["likeness"]);
});
