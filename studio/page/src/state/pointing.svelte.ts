/** Pointing at a picture: with which tool, what is being drawn, and where the cross of the keys is. */
import type { Box, Prompts } from "./prompts.svelte";

export type Tool = "inside" | "outside" | "box";

/** A place in the picture, in its own px. */
export interface Spot {
  x: number;
  y: number;
}

export class Pointing {
  chosen: Tool = $state("inside");
  /** Of the picture, in its own px. */
  size = $state({ width: 0, height: 0 });
  /** What the graph takes. */
  tools: Tool[] = $state.raw([]);
  cursor: Spot | null = $state(null);
  draft: Box | null = $state(null);
  #corner: Spot | null = $state(null);

  /** Takes what is pointed at, and what is to be told when that changed. */
  constructor(
    readonly prompts: Prompts,
    readonly changed: () => void,
  ) {}

  readonly tool: Tool = $derived.by(() =>
    this.tools.includes(this.chosen) ? this.chosen : (this.tools[0] ?? "inside"),
  );
  /** A measure for what is drawn over the picture: a hundredth of its longer side. */
  readonly unit = $derived(Math.max(this.size.width, this.size.height) / 100);
  readonly drawing = $derived(this.#corner !== null);

  /** Puts a place into the picture. */
  inside({ x, y }: Spot): Spot {
    const within = (value: number, most: number) => Math.round(Math.min(most, Math.max(0, value)) * 10) / 10;
    return { x: within(x, this.size.width), y: within(y, this.size.height) };
  }

  begin(at: Spot): void {
    this.#corner = at;
  }

  /** Draws a box from where it began; with a tool for points only once it is no slip of the hand. */
  draw(to: Spot): void {
    const from = this.#corner;
    if (!from || !this.tools.includes("box")) return;
    const far = Math.hypot(to.x - from.x, to.y - from.y) > 2 * this.unit;
    if (this.tool === "box" || this.draft || far)
      this.draft = [
        Math.min(from.x, to.x),
        Math.min(from.y, to.y),
        Math.max(from.x, to.x),
        Math.max(from.y, to.y),
      ];
  }

  /** Ends what was begun: a box where one was drawn, else a point, of the object or not. */
  end(at: Spot, other = false): void {
    const [left = 0, top = 0, right = 0, bottom = 0] = this.draft ?? [];
    const box = right - left > this.unit || bottom - top > this.unit ? this.draft : null;
    const began = this.drawing;
    this.stop();
    if (box) this.prompts.box(box);
    else if (began && this.tool !== "box") this.prompts.point(at.x, at.y, this.tool === "inside" && !other);
    else return;
    this.changed();
  }

  /** Forgets what was begun. */
  stop(): void {
    this.#corner = this.draft = null;
  }

  undo(): void {
    this.prompts.undo();
    this.changed();
  }

  clear(): void {
    this.prompts.clear();
    this.changed();
  }
}
