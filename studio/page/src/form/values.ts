/** What a signature says of an input, turned into what a form needs; nothing here knows an input's name. */
import type { Graph, Input, PictureRef, Schema } from "../api/types";

export type Values = Record<string, unknown>;

export function isPicture(value: unknown): value is PictureRef {
  if (typeof value !== "object" || value === null) return false;
  const { picture, hash } = value as PictureRef;
  return typeof picture === "string" || typeof hash === "string";
}

export const isPictures = (value: unknown): value is PictureRef[] =>
  Array.isArray(value) && value.length > 0 && value.every(isPicture);

/** Says a name in words: `negative_prompt` is "Negative prompt". */
export function inWords(name: string): string {
  const words = name.replace(/[-_]/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function least(schema: Schema): number | undefined {
  const { minimum, exclusiveMinimum } = schema;
  return exclusiveMinimum === undefined ? minimum : Math.max(minimum ?? exclusiveMinimum, exclusiveMinimum);
}

export function most(schema: Schema): number | undefined {
  const { maximum, exclusiveMaximum, type } = schema;
  if (exclusiveMaximum === undefined) return maximum;
  return type === "integer" ? exclusiveMaximum - 1 : exclusiveMaximum;
}

/** A step that gives a slider about a hundred places. */
export function stepOf(schema: Schema): number {
  if (schema.multipleOf) return schema.multipleOf;
  if (schema.type === "integer") return 1;
  const range = (most(schema) ?? 1) - (least(schema) ?? 0);
  return range <= 2 ? 0.05 : range <= 40 ? 0.5 : 1;
}

/** Whether a slider is of use: both ends are known and not worlds apart. */
export function slides(schema: Schema): boolean {
  const [low, high] = [least(schema), most(schema)];
  return low !== undefined && high !== undefined && (high - low) / stepOf(schema) <= 2048;
}

/** Whether any value is as good as another, as of a seed: whole numbers without a near end. */
export const rolls = (schema: Schema): boolean =>
  schema.type === "integer" && (most(schema) ?? Infinity) >= 2 ** 31;

export function resolve(schema: Schema, root: Schema): Schema {
  const name = schema.$ref?.split("/").pop();
  return (name && root.$defs?.[name]) || schema;
}

/** The input by which each prior (or other name) is switched on and off, if the graph has one. */
export const switchesOf = (graph: Graph): Input | undefined =>
  graph.inputs.find((input) => input.kind === "choices" && (input.schema.items?.enum?.length ?? 0) > 0);

/** The input that says how strongly each prior acts, if the graph has one. */
export const strengthsOf = (graph: Graph): Input | undefined =>
  graph.inputs.find(
    ({ schema }) =>
      schema.type === "object" && (schema.propertyNames?.enum?.length ?? 0) > 0 && knobs(schema).length > 0,
  );

export interface Knob {
  /** Empty where the strength is a number of its own and no part of an object. */
  name: string;
  schema: Schema;
}

/** The numbers that can be set for each name of an object of strengths; the first is the strength itself. */
export function knobs(schema: Schema): Knob[] {
  if (typeof schema.additionalProperties !== "object") return [];
  const each = resolve(schema.additionalProperties, schema);
  if (each.type === "number") return [{ name: "", schema: each }];
  return Object.entries(each.properties ?? {})
    .filter(([, property]) => property.type === "number" || property.type === "integer")
    .map(([name, property]) => ({ name, schema: property }));
}

/** Names that can be switched in this request: what the graph reads itself, what is given, and what needs neither. */
export function switchable(graph: Graph, values: Values): string[] {
  const all = switchesOf(graph)?.schema.items?.enum ?? strengthsOf(graph)?.schema.propertyNames?.enum ?? [];
  const read = new Set(graph.outputs.filter((output) => output.is_prior).map((output) => output.name));
  const taken = new Set(graph.inputs.map((input) => input.name));
  return all.filter((name) => read.has(name) || !taken.has(name) || values[name] !== undefined);
}

/** What is wrong with a value, in a sentence; empty where nothing is. */
export function fault(input: Input, value: unknown): string {
  const missing =
    value === undefined || value === null || value === "" || (Array.isArray(value) && !value.length);
  if (missing) return input.required ? "This is needed." : "";
  if (typeof value === "number") return faultOfNumber(input.schema, value);
  if (typeof value === "string") return faultOfText(input.schema, value);
  if (Array.isArray(value)) {
    const { minItems, maxItems } = input.schema;
    if (maxItems !== undefined && value.length > maxItems) return `At most ${maxItems}, not ${value.length}.`;
    if (minItems !== undefined && value.length < minItems)
      return `At least ${minItems}, not ${value.length}.`;
    const items = input.schema.items;
    if (items) {
      const faults = value.map((one: unknown) =>
        typeof one === "number"
          ? faultOfNumber(items, one)
          : typeof one === "string"
            ? faultOfText(items, one)
            : "",
      );
      return faults.find(Boolean) ?? "";
    }
  }
  return "";
}

function faultOfNumber(schema: Schema, value: number): string {
  const [low, high] = [least(schema), most(schema)];
  if (!Number.isFinite(value)) return "A number is expected.";
  if (schema.type === "integer" && !Number.isInteger(value)) return "A whole number is expected.";
  if (low !== undefined && (schema.exclusiveMinimum === low ? value <= low : value < low)) {
    return `At least ${low}, not ${value}.`;
  }
  if (high !== undefined && value > high) return `At most ${high}, not ${value}.`;
  if (schema.multipleOf && value % schema.multipleOf) return `In steps of ${schema.multipleOf}.`;
  return "";
}

function faultOfText(schema: Schema, value: string): string {
  if (schema.maxLength !== undefined && value.length > schema.maxLength) {
    return `At most ${schema.maxLength} characters, not ${value.length}.`;
  }
  if (schema.minLength && value.trim().length < schema.minLength) return "Some words are expected.";
  return "";
}

/** What goes to the server: only what was set, pictures by their id. */
export function toRequest(graph: Graph, values: Values): Values {
  const request: Values = {};
  for (const input of graph.inputs) {
    const value = values[input.name];
    if (value === undefined || value === null || value === "") continue;
    if (Array.isArray(value) && !value.length) continue;
    if (isPicture(value)) request[input.name] = { picture: value.picture };
    else if (isPictures(value)) request[input.name] = value.map((one) => ({ picture: one.picture }));
    else request[input.name] = value;
  }
  return request;
}
