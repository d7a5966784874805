/** Parts of a picture that an answer tells of: masks, outlines, boxes, and how likely each text is for each. */
import type { Graph, Output, PictureRef } from "../api/types";
import { inWords, isPicture, isPictures, type Values } from "../form/values";

export type Ring = [number, number][];

export interface Bar {
  text: string;
  share: number;
}

export interface Region {
  place: number;
  mask: PictureRef | null;
  /** Outlines of its parts and their holes, for a path that fills even and odd. */
  path: string;
  box: number[] | null;
  /** Of what is inside its outlines, in px. */
  area: number;
  /** What else is said of it, in words. */
  facts: string[];
  bars: Bar[];
}

export interface Regions {
  all: Region[];
  /** Of the whole picture. */
  bars: Bar[];
}

const isMatrix = (value: unknown): value is number[][] =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((row) => Array.isArray(row) && row.every((one) => typeof one === "number"));

/** The list of masks that an answer outlines, and the outlines, by what they look like. */
function outlined(graph: Graph, outputs: Values): { port: string; outlines: Ring[][][] } | null {
  const lists = graph.outputs.filter((output) => output.kind === "images").map((output) => output.name);
  for (const output of graph.outputs) {
    const value = outputs[output.name];
    if (output.schema.type !== "object" || typeof value !== "object" || value === null) continue;
    const port = lists.find((name) => Array.isArray((value as Values)[name]));
    if (port) return { port, outlines: (value as Record<string, Ring[][][]>)[port] ?? [] };
  }
  return null;
}

export function readRegions(graph: Graph, outputs: Values, asked: Values): Regions {
  const found = outlined(graph, outputs);
  const masks = found && isPictures(outputs[found.port]) ? (outputs[found.port] as PictureRef[]) : [];
  const count = Math.max(masks.length, found?.outlines.length ?? 0);
  const arrays = graph.outputs.filter((output) => output.schema.dtype);
  const boxes = arrays
    .map((output) => outputs[output.name])
    .find((value) => isMatrix(value) && value.length === count && value[0]?.length === 4);
  const shares = sharesOf(
    arrays.map((output) => outputs[output.name]),
    graph,
    asked,
    count,
  );
  const scores = arrays.filter(
    ({ name, schema }) =>
      schema.shape?.length === 1 && (outputs[name] as number[] | undefined)?.length === count,
  );
  const all = Array.from({ length: count }, (_, place) => ({
    place,
    mask: masks[place] ?? null,
    path: (found?.outlines[place] ?? []).flat().map(pathOf).join(""),
    box: (boxes as number[][] | undefined)?.[place] ?? null,
    area: (found?.outlines[place] ?? []).map(areaOf).reduce((sum, area) => sum + area, 0),
    facts: scores.map((output) => factOf(output, (outputs[output.name] as number[])[place] ?? 0)),
    bars: shares.rows[place] ?? [],
  }));
  return { all, bars: shares.whole };
}

/** Says a number by what the signature says of it. */
function factOf({ name, schema }: Output, value: number): string {
  const number = schema.dtype?.startsWith("int") ? value.toLocaleString() : value.toFixed(2);
  return [schema.description ?? inWords(name), number, schema.unit].filter(Boolean).join(" ");
}

/** Of a part: its outline, less its holes. */
const areaOf = ([outline, ...holes]: Ring[]): number =>
  holes.reduce((area, hole) => area - inside(hole), outline ? inside(outline) : 0);

const inside = (ring: Ring): number =>
  Math.abs(
    ring.reduce((sum, [x, y], index) => {
      const [beforeX, beforeY] = ring.at(index - 1) ?? [x, y];
      return sum + (beforeX * y - x * beforeY) / 2;
    }, 0),
  );

/** How likely each text is: a matrix with a column for each text, and a row for the whole before those of the parts. */
function sharesOf(
  values: unknown[],
  graph: Graph,
  asked: Values,
  count: number,
): { whole: Bar[]; rows: Bar[][] } {
  for (const input of graph.inputs.filter((one) => one.kind === "texts")) {
    const texts = asked[input.name] as string[] | undefined;
    if (!texts) continue;
    const matrix = values.find(
      (value) => isMatrix(value) && value.length === count + 1 && value[0]?.length === texts.length,
    );
    if (!matrix) continue;
    const [whole = [], ...rows] = (matrix as number[][]).map((row) => barsOf(texts, row));
    return { whole, rows };
  }
  return { whole: [], rows: [] };
}

/** The likeliest first; a text that was given twice is one. */
function barsOf(texts: string[], shares: number[]): Bar[] {
  const all = new Map<string, number>();
  texts.forEach((text, column) => all.set(text, (all.get(text) ?? 0) + (shares[column] ?? 0)));
  return [...all].map(([text, share]) => ({ text, share })).sort((one, other) => other.share - one.share);
}

const pathOf = (ring: Ring): string =>
  ring.length ? `M${ring.map(([x, y]) => `${x} ${y}`).join("L")}Z` : "";

/** The picture that the parts are of: the one that the graph looked at, or the one that was given. */
export function lookedAt(graph: Graph, outputs: Values, values: Values): PictureRef | null {
  const answered = graph.outputs
    .filter((output) => output.kind === "image" && !output.is_prior)
    .map((output) => outputs[output.name]);
  const given = graph.inputs.filter((input) => input.kind === "image").map((input) => values[input.name]);
  return [...answered, ...given].find(isPicture) ?? null;
}

/** Colours that stay apart for as many regions as there are. */
export const hue = (place: number): number => (place * 137.5 + 210) % 360;
