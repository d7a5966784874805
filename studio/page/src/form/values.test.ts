import { expect, test } from "vitest";
import type { Graph, Input } from "../api/types";
import { fault, slides, stepOf, switchable, toRequest } from "./values";

const input = (name: string, about: Partial<Input>): Input => ({
  name,
  kind: "text",
  group: "main",
  required: false,
  default: null,
  description: "",
  is_prior: false,
  schema: {},
  ...about,
});

test("a fault says what was expected and what came", () => {
  const steps = input("steps", { kind: "integer", schema: { type: "integer", minimum: 1, maximum: 200 } });
  expect(fault(steps, 0)).toBe("At least 1, not 0.");
  expect(fault(steps, 201)).toBe("At most 200, not 201.");
  expect(fault(steps, 2.5)).toBe("A whole number is expected.");
  expect(fault(steps, undefined)).toBe("");
  expect(fault(input("image", { kind: "image", required: true }), undefined)).toBe("This is needed.");
  const share = input("share", {
    kind: "number",
    schema: { type: "number", exclusiveMinimum: 0, minimum: 0, maximum: 1 },
  });
  expect(fault(share, 0)).toBe("At least 0, not 0.");
  expect(fault(share, 0.1)).toBe("");
});

test("numbers have a slider where both ends are near", () => {
  expect(slides({ type: "integer", minimum: 64, maximum: 2048, multipleOf: 64 })).toBe(true);
  expect(slides({ type: "integer", minimum: 0, exclusiveMaximum: 2 ** 53 })).toBe(false);
  expect(stepOf({ type: "number", minimum: 0, maximum: 2 })).toBe(0.05);
});

test("a name whose map nobody reads can be switched once the map is given", () => {
  const graph = {
    inputs: [
      input("which", {
        kind: "choices",
        schema: { type: "array", items: { enum: ["read", "given", "words"] } },
      }),
      input("given", { kind: "image" }),
    ],
    outputs: [{ name: "read", kind: "image", is_prior: true, of: [], schema: {} }],
  } as unknown as Graph;
  expect(switchable(graph, {})).toEqual(["read", "words"]);
  expect(switchable(graph, { given: { picture: "1" } })).toEqual(["read", "given", "words"]);
});

test("a request holds what was set, and pictures by their id alone", () => {
  const graph = { inputs: ["photo", "words", "empty"].map((name) => input(name, {})) } as unknown as Graph;
  const photo = { picture: "1", url: "api/pictures/1/file", thumbnail: "" };
  expect(toRequest(graph, { photo, words: "a cone", empty: [], other: 1 })).toEqual({
    photo: { picture: "1" },
    words: "a cone",
  });
});
