import { expect, test } from "vitest";
import { ScaledScroll } from "./scaledScroll";

const VIEW = 1000;

test("what fits into a box is scrolled as it is", () => {
  const scroll = new ScaledScroll(5000, VIEW, 10_000);
  expect(scroll.boxHeight).toBe(5000);
  expect(scroll.scrolled(1234)).toBeNull();
  expect(scroll.top).toBe(1234);
});

test("a jump to the end of a capped box is the end of the whole", () => {
  const scroll = new ScaledScroll(40_000_000, VIEW, 1_000_000);
  scroll.scrolled(scroll.boxHeight - VIEW);
  expect(scroll.top).toBe(40_000_000 - VIEW);
});

test("small moves go pixel by pixel, from the first row to the very last", () => {
  const total = 3_000_000;
  const scroll = new ScaledScroll(total, VIEW, 1_000_000);
  let box = 0;
  let before = -1;
  let moves = 0;
  while (scroll.top < total - VIEW) {
    expect(scroll.top).toBeGreaterThan(before);
    before = scroll.top;
    box = Math.min(box + 900, scroll.boxHeight - VIEW);
    box = scroll.scrolled(box) ?? box;
    expect(scroll.top - before).toBeLessThanOrEqual(900);
    expect((moves += 1)).toBeLessThan(10_000);
  }
  expect(box).toBeCloseTo(scroll.boxHeight - VIEW, 0);
});

test("going to a place and back ends where it began", () => {
  const scroll = new ScaledScroll(40_000_000, VIEW, 1_000_000);
  scroll.goTo(20_000_000);
  const middle = scroll.goTo(scroll.top + 500) - 500;
  scroll.scrolled(middle);
  expect(scroll.top).toBeCloseTo(20_000_000, 5);
});
