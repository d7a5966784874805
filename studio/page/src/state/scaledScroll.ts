/**
 * Scrolling through more than a browser can hold: a box is capped at 2^24 px, less in some.
 *
 * The box is at most `CAP_PX` high. Small moves (wheel, keys, touch) go on pixel by pixel; a jump of the
 * scroll bar goes to the same share of the whole. What drifts apart between the two is set right as it shows.
 */
export const CAP_PX = 6_000_000;
const DRIFT_PX = 200_000;

export class ScaledScroll {
  /** Of all rows: what is above the upper edge, in px. */
  top = 0;
  #boxTop = 0;

  constructor(
    public total = 0,
    public viewport = 0,
    readonly cap = CAP_PX,
  ) {}

  get boxHeight(): number {
    return Math.max(this.viewport, Math.min(this.total, this.cap));
  }

  get #span(): number {
    return Math.max(0, this.total - this.viewport);
  }

  get #boxSpan(): number {
    return Math.max(0, this.boxHeight - this.viewport);
  }

  /** Takes other measures; returns where the box is to be scrolled to. */
  measure(total: number, viewport: number, top = this.top): number {
    this.total = total;
    this.viewport = viewport;
    return this.goTo(top);
  }

  /** Goes to a place of the whole; returns where the box is to be scrolled to. */
  goTo(top: number): number {
    this.top = Math.min(this.#span, Math.max(0, top));
    this.#boxTop = this.#span ? (this.top / this.#span) * this.#boxSpan : 0;
    return this.#boxTop;
  }

  /** Takes note of a scrolled box; returns where it is to be scrolled to, or null where it is right. */
  scrolled(boxTop: number): number | null {
    if (this.total <= this.cap) {
      this.top = this.#boxTop = boxTop;
      return null;
    }
    const move = boxTop - this.#boxTop;
    this.#boxTop = boxTop;
    if (Math.abs(move) > 2 * this.viewport) {
      this.top = (boxTop / this.#boxSpan) * this.#span;
      return null;
    }
    this.top = Math.min(this.#span, Math.max(0, this.top + move));
    const right = (this.top / this.#span) * this.#boxSpan;
    const atAnEdge = boxTop <= 1 || boxTop >= this.#boxSpan - 1;
    if (atAnEdge && Math.abs(right - boxTop) < 2) this.top = boxTop <= 1 ? 0 : this.#span;
    else if (atAnEdge || Math.abs(right - boxTop) > Math.min(DRIFT_PX, this.cap / 30))
      return (this.#boxTop = right);
    return null;
  }
}
