/** What went wrong in a sentence for people; the API's own words are exact, and for programmers. */
import type { FieldError } from "./problem";

type Say = (parts: string[]) => string;

const millions = (count: string) =>
  (Number(count) / 1e6).toLocaleString(undefined, { maximumFractionDigits: 1 });
const mib = (bytes: string) => Math.ceil(Number(bytes) / 2 ** 20).toLocaleString();

/** By what is expected of a field. */
const FIELDS: [RegExp, Say][] = [
  [/^a whole picture/, () => "The file is damaged or cut off."],
  [/^a JPEG, PNG or WebP picture/, () => "This is no JPEG, PNG or WebP picture."],
  [/^a still picture/, () => "This picture moves; only still ones can be taken."],
  [
    /^at most (\d+) pixels/,
    ([most = ""]) => `The picture is too large: ${millions(most)} megapixels are the most.`,
  ],
  [/^at most ([\d.]+) megapixels/, ([most]) => `The picture is too large: ${most} megapixels are the most.`],
  [
    /^sides of at least (\d+) pixels/,
    ([least]) => `The picture is too small: ${least} px a side are the least.`,
  ],
  [
    /^an aspect ratio within (\S+):1/,
    ([most]) => `The picture is too long and thin: ${most} to 1 is the most.`,
  ],
  [
    /^at most (\S+) MiB of pictures for each user/,
    ([most]) => `Your pictures fill the ${most} MiB that you have. Delete some first.`,
  ],
  [/^a prompt, or a caption/, () => "Write a prompt."],
];

/** By the words about the whole request. */
const WHOLES: [RegExp, Say][] = [
  [
    /expected a body of at most (\d+) MiB(?:, got (\d+) bytes)?/,
    ([most, bytes]) => `This is too large${bytes ? `, ${mib(bytes)} MiB` : ""}: ${most} MiB are the most.`,
  ],
  [/^unknown job\b/, () => "This run is not there, or no longer."],
  [/^unknown (picture|board|graph|comparison)\b/, ([what]) => `This ${what} is not there, or no longer.`],
];

function said(sayings: [RegExp, Say][], words: string): string {
  for (const [pattern, say] of sayings) {
    const found = pattern.exec(words);
    if (found) return say(found.slice(1));
  }
  return "";
}

/** Says what is wrong with one field. */
export function ofField({ expected, received, message }: FieldError): string {
  const known = said(FIELDS, expected ?? "");
  if (known || !expected) return known || message || "";
  return received ? `Expected ${expected}, not ${received}.` : `Expected ${expected}.`;
}

/** Says what is wrong with a request. */
export function ofRequest(detail: string, errors: FieldError[]): string {
  const known =
    said(WHOLES, detail) || errors.map((error) => said(FIELDS, error.expected ?? "")).find(Boolean);
  return known || detail;
}
