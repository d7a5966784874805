/** What is pointed at in a picture: objects, each of points (of it, or not of it) and at most one box. */
import type { Graph } from "../api/types";
import type { Values } from "../form/values";

export interface Point {
  x: number;
  y: number;
  inside: boolean;
}

export type Box = [left: number, top: number, right: number, bottom: number];

export interface Pointed {
  points: Point[];
  box: Box | null;
}

const ABSENT = -1;

export class Prompts {
  objects: Pointed[] = $state([]);
  /** The object that the next point is for. */
  current = $state(0);
  #past: Pointed[][] = [];

  readonly empty = $derived(this.objects.length === 0);

  point(x: number, y: number, inside: boolean): void {
    this.#remember();
    const object = this.objects[this.current];
    if (object) object.points.push({ x, y, inside });
    else this.#begin({ points: [{ x, y, inside }], box: null });
  }

  box(box: Box): void {
    this.#remember();
    const object = this.objects[this.current];
    if (object && !object.box) object.box = box;
    else this.#begin({ points: [], box });
  }

  /** The next point or box is of another object. */
  next(): void {
    this.current = this.objects.length;
  }

  remove(index: number): void {
    this.#remember();
    this.objects.splice(index, 1);
    this.current = Math.max(0, Math.min(this.current, this.objects.length - 1));
  }

  clear(): void {
    if (this.empty) return;
    this.#remember();
    this.objects = [];
    this.current = 0;
  }

  undo(): void {
    const last = this.#past.pop();
    if (!last) return;
    this.objects = last;
    this.current = Math.max(0, last.length - 1);
  }

  /** Takes over what a request said. */
  read(graph: Graph, values: Values): void {
    const { points, labels, boxes } = portsOf(graph);
    const rows = (name: string | undefined) => (name ? ((values[name] as unknown[] | undefined) ?? []) : []);
    const all = {
      points: rows(points) as number[][][],
      labels: rows(labels) as number[][],
      boxes: rows(boxes) as Box[],
    };
    const found: Pointed[] = Array.from(
      { length: Math.max(all.points.length, all.boxes.length) },
      (_, row) => ({
        points: (all.points[row] ?? [])
          .map(([x = 0, y = 0], place) => ({ x, y, label: all.labels[row]?.[place] ?? 1 }))
          .filter(({ label }) => label !== ABSENT)
          .map(({ x, y, label }) => ({ x, y, inside: label === 1 })),
        box: all.boxes[row] ?? null,
      }),
    );
    // What is asked for now stays as it is, with what can be undone.
    if (JSON.stringify(found) === JSON.stringify(this.objects)) return;
    this.objects = found;
    this.current = Math.max(0, found.length - 1);
    this.#past = [];
  }

  /** Says it as the ports of a graph take it; rows are padded to one length. */
  values(graph: Graph, size: { width: number; height: number }): Values {
    const names = portsOf(graph);
    const objects = this.objects.filter((object) => object.points.length || object.box);
    const most = Math.max(0, ...objects.map((object) => object.points.length));
    const found: Values = {};
    const row = <T>(object: Pointed, of: (point: Point) => T, absent: T) =>
      Array.from({ length: most }, (_, place) => (object.points[place] ? of(object.points[place]) : absent));
    if (names.points && most)
      found[names.points] = objects.map((object) => row(object, ({ x, y }) => [x, y], [0, 0]));
    if (names.labels && most)
      found[names.labels] = objects.map((object) => row(object, ({ inside }) => Number(inside), ABSENT));
    // Where one has a box, all need one.
    if (names.boxes && objects.some((object) => object.box)) {
      found[names.boxes] = objects.map((object) => object.box ?? around(object.points, size));
    }
    return found;
  }

  #begin(object: Pointed): void {
    this.objects.push(object);
    this.current = this.objects.length - 1;
  }

  #remember(): void {
    this.#past.push($state.snapshot(this.objects));
  }
}

/** A box loosely around points: a quarter of the picture's shorter side beyond those of the object. */
function around(points: Point[], { width, height }: { width: number; height: number }): Box {
  const of = points.some((point) => point.inside) ? points.filter((point) => point.inside) : points;
  const [xs, ys] = [of.map((point) => point.x), of.map((point) => point.y)];
  const margin = Math.min(width, height) / 4;
  return [
    Math.max(0, Math.min(...xs) - margin),
    Math.max(0, Math.min(...ys) - margin),
    Math.min(width, Math.max(...xs) + margin),
    Math.min(height, Math.max(...ys) + margin),
  ];
}

/** The inputs of a graph by which one points at something, by their kinds. */
export function portsOf(graph: Graph): Partial<Record<"points" | "labels" | "boxes", string>> {
  const of = (kind: string) => graph.inputs.find((input) => input.kind === kind)?.name;
  return { points: of("points"), labels: of("labels"), boxes: of("boxes") };
}
