import { expect, test } from "vitest";
import { EventParser } from "./events";

test("events that come in pieces are whole once they end", () => {
  const parser = new EventParser();
  expect(parser.push("id: 7\r\nevent: node-fin")).toEqual([]);
  expect(
    parser.push('ished\r\ndata: {"node": "depth"}\r\n\r\n: ping\r\n\r\nevent: done\ndata: {}\n\n'),
  ).toEqual([
    { id: 7, event: "node-finished", data: { node: "depth" } },
    { id: 0, event: "done", data: {} },
  ]);
});

test("a line break that is cut in two is one", () => {
  const parser = new EventParser();
  expect(parser.push("data: {}\r")).toEqual([]);
  expect(parser.push("\nid: 3\r\n\r")).toEqual([]);
  expect(parser.push("\n")).toEqual([{ id: 3, event: "message", data: {} }]);
});
