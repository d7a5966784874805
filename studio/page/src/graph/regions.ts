/** Parts of a picture that an answer tells of: masks, outlines, boxes, and how likely each text is for each. */
import type { Graph, PictureRef } from "../api/types";
import { isPicture, isPictures, type Values } from "../form/values";

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
  scores: Record<string, number>;
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
    scores: Object.fromEntries(scores.map(({ name }) => [name, (outputs[name] as number[])[place] ?? 0])),
    bars: shares.rows[place] ?? [],
  }));
  return { all, bars: shares.whole };
}

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
    const [whole = [], ...rows] = (matrix as number[][]).map((row) =>
      texts
        .map((text, column) => ({ text, share: row[column] ?? 0 }))
        .sort((one, other) => other.share - one.share),
    );
    return { whole, rows };
  }
  return { whole: [], rows: [] };
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
