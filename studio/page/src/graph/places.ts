/** The px of a laid out graph: as wide as its room allows, flowing to the right, or down where there is none. */
import type { Drawing, Spot } from "./layout";

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Placed {
  down: boolean;
  width: number;
  height: number;
  boxes: Map<string, Box>;
}

const NARROW_PX = 560;
const ROW = { height: 48, gap: 8, least: 116, most: 172, step: { least: 22, most: 44 } };
const COLUMN = { least: 46, most: 56, height: 80, gap: 6, step: 22 };
/** Nodes that only pass things on are small. */
const SMALL = new Set(["COMBINER", "ROUTER"]);
const SMALL_PX = 56;

export function placed(drawing: Drawing, room: number): Placed {
  return room < NARROW_PX ? downwards(drawing, room) : rightwards(drawing, room);
}

function downwards({ spots, steps, lanes }: Drawing, room: number): Placed {
  const width = clamp((room + COLUMN.gap) / lanes - COLUMN.gap, COLUMN.least, COLUMN.most);
  const [across, along] = [width + COLUMN.gap, COLUMN.height + COLUMN.step];
  const box = ({ lane, step }: Spot): Box => ({
    x: lane * across,
    y: step * along,
    width,
    height: COLUMN.height,
  });
  return {
    down: true,
    width: lanes * across - COLUMN.gap,
    height: steps * along - COLUMN.step,
    boxes: new Map(spots.map((spot) => [spot.name, box(spot)])),
  };
}

function rightwards({ spots, steps, lanes }: Drawing, room: number): Placed {
  const small = Array.from({ length: steps }, (_, step) =>
    spots.filter((spot) => spot.step === step).every((spot) => SMALL.has(spot.node?.type ?? "")),
  );
  const fixed = small.filter(Boolean).length * SMALL_PX;
  const wide = steps - small.filter(Boolean).length;
  const gaps = Math.max(1, steps - 1);
  const card = clamp((room - fixed - gaps * ROW.step.least) / wide, ROW.least, ROW.most);
  const gap = clamp((room - fixed - wide * card) / gaps, ROW.step.least, ROW.step.most);
  const starts: number[] = [];
  let x = 0;
  for (const one of small) {
    starts.push(x);
    x += (one ? SMALL_PX : card) + gap;
  }
  const box = ({ step, lane }: Spot): Box => ({
    x: starts[step] ?? 0,
    y: lane * (ROW.height + ROW.gap),
    width: small[step] ? SMALL_PX : card,
    height: ROW.height,
  });
  return {
    down: false,
    width: x - gap,
    height: lanes * (ROW.height + ROW.gap) - ROW.gap,
    boxes: new Map(spots.map((spot) => [spot.name, box(spot)])),
  };
}

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** The line from one box to the next. */
export function line(from: Box, to: Box, down: boolean): string {
  if (down) {
    const [x1, y1, x2, y2] = [from.x + from.width / 2, from.y + from.height, to.x + to.width / 2, to.y];
    const middle = (y1 + y2) / 2;
    return `M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`;
  }
  const [x1, y1, x2, y2] = [from.x + from.width, from.y + from.height / 2, to.x, to.y + to.height / 2];
  const bend = Math.min(24, x2 - x1);
  // Level until the last bend, so that lines over several steps stay apart.
  return `M${x1} ${y1}H${x2 - bend}C${x2 - bend / 2} ${y1} ${x2 - bend / 2} ${y2} ${x2} ${y2}`;
}
