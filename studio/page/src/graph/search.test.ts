import { expect, test } from "vitest";
import { search } from "./search";

const graphs = [
  { name: "reimagine", summary: "A photo, drawn anew" },
  { name: "draw-analyze", summary: "Pictures, looked into" },
  { name: "quick-draw", summary: "Few steps" },
  { name: "draw", summary: "Pictures from a prompt" },
];
const names = (words: string) => search(graphs, words).map((graph) => graph.name);

test("a graph is found by its name before others are by what is said of them", () => {
  expect(names("draw")).toEqual(["draw", "draw-analyze", "quick-draw", "reimagine"]);
  expect(names(" Looked ")).toEqual(["draw-analyze"]);
  expect(names("nothing")).toEqual([]);
});

test("without words all are found, in their order", () => {
  expect(names("")).toEqual(graphs.map((graph) => graph.name));
});
