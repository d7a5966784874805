/** A long press by a finger or a pen does what a second button does; the click that follows it does nothing. */
const LONG_MS = 450;
const SLIP_PX = 10;

export function pressLong(then: (target: Element) => void) {
  return (box: HTMLElement): (() => void) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let from = { x: 0, y: 0 };
    let pressed = false;
    const end = () => clearTimeout(timer);
    const on: { [name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[name]) => void } = {
      pointerdown({ pointerType, clientX, clientY, target }) {
        end();
        pressed = false;
        if (pointerType === "mouse") return;
        from = { x: clientX, y: clientY };
        timer = setTimeout(() => {
          pressed = true;
          then(target as Element);
        }, LONG_MS);
      },
      pointermove({ clientX, clientY }) {
        if (Math.hypot(clientX - from.x, clientY - from.y) > SLIP_PX) end();
      },
      pointerup: end,
      pointercancel: end,
      contextmenu(event) {
        if (event.pointerType !== "mouse") event.preventDefault();
      },
      click(event) {
        if (pressed) event.stopPropagation();
        pressed = false;
      },
    };
    for (const [name, hear] of Object.entries(on)) box.addEventListener(name, hear as EventListener, true);
    return () => {
      end();
      for (const [name, hear] of Object.entries(on))
        box.removeEventListener(name, hear as EventListener, true);
    };
  };
}
