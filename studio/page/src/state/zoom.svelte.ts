/** How a picture is looked at: magnified and moved; several pictures that share one are moved together. */
const MOST = 16;
const STEP = 1.25;

export class Zoom {
  scale = $state(1);
  /** Of the picture's middle from the middle of its frame, as parts of the frame. */
  x = $state(0);
  y = $state(0);
  #pointers = new Map<number, { x: number; y: number }>();

  readonly transform = $derived(`translate(${this.x * 100}%, ${this.y * 100}%) scale(${this.scale})`);

  reset(): void {
    this.scale = 1;
    this.x = this.y = 0;
  }

  /** Magnifies by a factor, so that the point (parts of the frame from its middle) stays where it is. */
  by(factor: number, at = { x: 0, y: 0 }): void {
    const scale = Math.min(MOST, Math.max(1, this.scale * factor));
    const real = scale / this.scale;
    this.x = at.x - (at.x - this.x) * real;
    this.y = at.y - (at.y - this.y) * real;
    this.scale = scale;
    this.#keepInside();
  }

  in = () => this.by(STEP);
  out = () => this.by(1 / STEP);

  move(x: number, y: number): void {
    this.x += x;
    this.y += y;
    this.#keepInside();
  }

  wheel = (event: WheelEvent): void => {
    event.preventDefault();
    this.by(Math.exp(-event.deltaY * 0.0025), place(event));
  };

  down = (event: PointerEvent): void => {
    if (event.button) return;
    this.#pointers.set(event.pointerId, place(event));
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
  };

  drag = (event: PointerEvent): void => {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = place(event);
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (one: { x: number; y: number }) => Math.hypot(one.x - other.x, one.y - other.y) || 0.001;
      this.by(apart(now) / apart(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else if (this.scale > 1) this.move(now.x - before.x, now.y - before.y);
    this.#pointers.set(event.pointerId, now);
  };

  up = (event: PointerEvent): void => void this.#pointers.delete(event.pointerId);

  double = (event: MouseEvent): void => (this.scale > 1 ? this.reset() : this.by(3, place(event)));

  #keepInside(): void {
    const most = (this.scale - 1) / 2;
    this.x = Math.min(most, Math.max(-most, this.x));
    this.y = Math.min(most, Math.max(-most, this.y));
  }
}

/** Where a pointer is in its frame, from the middle, as parts of it. */
function place(event: MouseEvent): { x: number; y: number } {
  const frame = (event.currentTarget as HTMLElement).getBoundingClientRect();
  return {
    x: (event.clientX - frame.left) / frame.width - 0.5,
    y: (event.clientY - frame.top) / frame.height - 0.5,
  };
}
