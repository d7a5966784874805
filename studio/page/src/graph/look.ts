/** How what a node answered looks in little. */
import type { PictureRef } from "../api/types";
import { isPicture, isPictures } from "../form/values";

export function look(outputs: Record<string, unknown>): { thumbnail: string | null; words: string } {
  const values = Object.values(outputs);
  const picture: PictureRef | undefined = values.find(isPicture) ?? values.find(isPictures)?.[0];
  const words = values.find((value) => typeof value === "string" && value !== "") as string | undefined;
  return { thumbnail: picture?.thumbnail ?? picture?.url ?? null, words: words ?? "" };
}

/** Says how long something took: 8 ms, 1.2 s, 2 min 5 s. */
export function seconds(value: number | null): string {
  if (value === null) return "";
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(value < 9.95 ? 1 : 0)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

/** Says when something was: now, 5 min ago, 3 h ago, or the day. */
export function ago(time: string, now = Date.now()): string {
  const passed_s = (now - Date.parse(time)) / 1000;
  if (passed_s < 60) return "now";
  if (passed_s < 3600) return `${Math.floor(passed_s / 60)} min ago`;
  if (passed_s < 86400) return `${Math.floor(passed_s / 3600)} h ago`;
  return new Date(time).toLocaleDateString();
}
