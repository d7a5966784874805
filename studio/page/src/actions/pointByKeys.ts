/** Points at a picture by keys: arrows move a cross, Enter sets a point, or first one corner of a box, then the other. */
import type { Pointing } from "../state/pointing.svelte";

const MOVES: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const LEAP = 8;

export function pointByKeys(pointing: Pointing) {
  return {
    onkeydown(event: KeyboardEvent) {
      const move = MOVES[event.key];
      const at = pointing.cursor ?? { x: pointing.size.width / 2, y: pointing.size.height / 2 };
      if (move) {
        const far = pointing.unit * (event.shiftKey ? LEAP : 1);
        pointing.cursor = pointing.inside({ x: at.x + move[0] * far, y: at.y + move[1] * far });
        pointing.draw(pointing.cursor);
      } else if (event.key === "Escape" && pointing.drawing) {
        pointing.stop();
      } else if ((event.key === "Enter" || event.key === " ") && !event.ctrlKey && !event.metaKey) {
        pointing.cursor = at;
        if (pointing.drawing) pointing.end(at);
        else {
          pointing.begin(at);
          if (pointing.tool !== "box") pointing.end(at);
        }
      } else return;
      event.preventDefault();
    },
    onblur() {
      pointing.cursor = null;
      pointing.stop();
    },
  };
}
