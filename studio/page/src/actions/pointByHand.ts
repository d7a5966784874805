/** Points at a picture with mouse, pen or finger: a click is a point, a drag is a box. */
import type { Pointing, Spot } from "../state/pointing.svelte";

export function pointByHand(pointing: Pointing) {
  const place = (event: PointerEvent): Spot => {
    const frame = (event.currentTarget as Element).getBoundingClientRect();
    return pointing.inside({
      x: ((event.clientX - frame.left) / frame.width) * pointing.size.width,
      y: ((event.clientY - frame.top) / frame.height) * pointing.size.height,
    });
  };
  return {
    onpointerdown(event: PointerEvent) {
      if (event.button > 0) return;
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
      pointing.begin(place(event));
    },
    onpointermove(event: PointerEvent) {
      if (event.buttons) pointing.draw(place(event));
    },
    onpointerup(event: PointerEvent) {
      pointing.end(place(event), event.shiftKey);
    },
    onpointercancel() {
      pointing.stop();
    },
  };
}
