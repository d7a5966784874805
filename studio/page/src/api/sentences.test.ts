import { expect, test } from "vitest";
import { Problem } from "./problem";
import { ofField } from "./sentences";

const refused = (detail: string, expected: string) =>
  Problem.read(400, { detail, errors: [{ field: "files[0]", expected, received: "b'<svg'" }] }).message;

test("a file that is not taken is told of in words for people", () => {
  expect(refused("files[0]: expected a whole picture, got '900 bytes'", "a whole picture")).toBe(
    "The file is damaged or cut off.",
  );
  expect(refused("files[0]: expected a JPEG …, got b'<svg'", "a JPEG, PNG or WebP picture")).toBe(
    "This is no JPEG, PNG or WebP picture.",
  );
  expect(refused("files[0]: expected at most …, got 9000x9000", "at most 64000000 pixels")).toBe(
    "The picture is too large: 64 megapixels are the most.",
  );
  const body = "expected a body of at most 64 MiB, got 83886264 bytes";
  expect(Problem.read(413, { detail: body }).message).toBe("This is too large, 81 MiB: 64 MiB are the most.");
});

test("what is not there is named as the page names it", () => {
  const of = (detail: string) => Problem.read(404, { detail }).message;
  expect(of("unknown job '000'. Available: none")).toBe("This run is not there, or no longer.");
  expect(of("unknown picture '000'")).toBe("This picture is not there, or no longer.");
});

test("what has no sentence of its own keeps the words of the server", () => {
  expect(ofField({ field: "prompt", expected: "a prompt, or a caption from another node" })).toBe(
    "Write a prompt.",
  );
  expect(ofField({ field: "seeds", expected: "6 seeds, one a picture", received: "2" })).toBe(
    "Expected 6 seeds, one a picture, not 2.",
  );
  expect(Problem.read(500, { detail: "the disk is full" }).message).toBe("the disk is full");
});
