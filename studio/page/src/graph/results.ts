/** What a graph answered, as a page shows it: pictures with all that is said of each, and priors. */
import { thumbnail } from "../api/pictures";
import type { Graph, Picture, PictureRef } from "../api/types";
import { isPicture, isPictures } from "../form/values";

/** A picture of an answer, with what lists beside it say of it. */
export interface Shown {
  /** Of the stored picture; empty until it is stored. */
  id: string;
  url: string;
  thumbnail: string;
  width: number;
  height: number;
  /** Where it stands in the answer's list. */
  place: number;
  words: Record<string, string>;
  scores: Record<string, number>;
  seed: number | null;
  picture: Picture | null;
}

export interface Prior {
  name: string;
  picture: PictureRef | null;
  words: string;
}

const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((one) => typeof one === "number");
export const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string");
const isOrder = (values: number[]): boolean =>
  [...values].sort((one, other) => one - other).every((value, index) => value === index);

/** The list of pictures that an answer is about: the one of which most is said. */
export function mainPort(graph: Graph, outputs: Record<string, unknown>): string | null {
  const lists = graph.outputs.filter((output) => !output.is_prior && isPictures(outputs[output.name]));
  const said = (name: string) => graph.outputs.filter((output) => output.of.includes(name)).length;
  return lists.sort((one, other) => said(other.name) - said(one.name))[0]?.name ?? null;
}

/** The pictures of an answer, best first where it says an order. */
export function picturesOf(graph: Graph, outputs: Record<string, unknown>, stored: Picture[]): Shown[] {
  const port = mainPort(graph, outputs);
  if (!port) return singles(graph, outputs, stored);
  const shown = (outputs[port] as PictureRef[]).map((ref, place) => describe(ref, place, stored));
  let order: number[] | null = null;
  for (const { name, of, is_prior, schema } of graph.outputs) {
    const values = outputs[name];
    if (name === port || is_prior || !Array.isArray(values) || values.length !== shown.length) continue;
    const told = of.includes(port);
    if (isNumbers(values) && canBeGiven(name, graph)) {
      values.forEach((seed, place) => shown[place] && (shown[place].seed = seed));
    } else if (isNumbers(values) && isOrder(values)) order = values;
    else if (told && isTexts(values)) values.forEach((text, place) => put(shown[place]?.words, name, text));
    // Whole numbers count or name something; they are no scores.
    else if (told && isNumbers(values) && schema.items?.type === "integer")
      values.forEach((number, place) => put(shown[place]?.words, name, String(number)));
    else if (told && isNumbers(values))
      values.forEach((score, place) => put(shown[place]?.scores, name, score));
  }
  return order ? order.map((place) => shown[place]).filter((one) => one !== undefined) : shown;
}

/** Whether what is said of each picture could have been asked for, too, as seeds can. */
const canBeGiven = (name: string, graph: Graph): boolean => graph.inputs.some((input) => input.name === name);

function singles(graph: Graph, outputs: Record<string, unknown>, stored: Picture[]): Shown[] {
  const given = new Set(graph.inputs.map((input) => input.name));
  return graph.outputs
    .filter((output) => !output.is_prior && !given.has(output.name) && isPicture(outputs[output.name]))
    .map((output, place) => describe(outputs[output.name] as PictureRef, place, stored));
}

function describe(ref: PictureRef, place: number, stored: Picture[]): Shown {
  const picture = stored.find((one) => one.id === ref.picture || (ref.hash && one.hash === ref.hash)) ?? null;
  return {
    id: picture?.id ?? ref.picture ?? "",
    url: ref.url ?? picture?.url ?? "",
    thumbnail: picture ? thumbnail(picture.id, 512) : (ref.url ?? ""),
    width: ref.width ?? picture?.width ?? 1,
    height: ref.height ?? picture?.height ?? 1,
    place,
    words: {},
    scores: {},
    seed: picture?.seed ?? null,
    picture,
  };
}

function put<T>(into: Record<string, T> | undefined, name: string, value: T): void {
  if (into) into[name] = value;
}

/** The priors that were read so far, by name; those that are words come as words. */
export function priorsOf(graph: Graph, outputs: Record<string, unknown>): Prior[] {
  const found: Prior[] = [];
  for (const output of graph.outputs) {
    const value = outputs[output.name];
    if (!output.is_prior || value === undefined || value === null) continue;
    if (isPicture(value)) found.push({ name: output.name, picture: value, words: "" });
    else if (typeof value === "string") found.push({ name: output.name, picture: null, words: value });
  }
  return found;
}
