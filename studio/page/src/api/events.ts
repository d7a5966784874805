/** Server-sent events over fetch, which says why it was refused, where EventSource is silent. */
import { tell } from "./client";
import { Problem } from "./problem";
import type { JobEvent } from "./types";

const PAUSES_MS = [200, 500, 1000, 2000, 4000];

/** Splits a stream of text into events; keeps what is not complete yet. */
export class EventParser {
  #rest = "";

  push(text: string): JobEvent[] {
    const all = this.#rest + text;
    // A carriage return at the end may be half of a line break.
    const half = all.endsWith("\r") ? "\r" : "";
    const parts = all
      .slice(0, all.length - half.length)
      .replace(/\r\n?/g, "\n")
      .split("\n\n");
    this.#rest = (parts.pop() ?? "") + half;
    return parts.map(readEvent).filter((event) => event !== null);
  }
}

function readEvent(block: string): JobEvent | null {
  const fields: Record<string, string> = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    fields[name] = name in fields ? `${fields[name]}\n${value}` : value;
  }
  if (!fields.data) return null;
  return { id: Number(fields.id ?? 0), event: fields.event ?? "message", data: JSON.parse(fields.data) };
}

/**
 * Follows a job until its last event; reconnects where it left off, so that nothing is missed.
 *
 * Ends when `signal` is aborted. `onConnection` is told whether the stream stands.
 */
export async function followJob(
  job: string,
  onEvent: (event: JobEvent) => void,
  signal: AbortSignal,
  onConnection: (standing: boolean) => void = () => undefined,
): Promise<void> {
  let last = 0;
  let tries = 0;
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = { accept: "text/event-stream" };
      if (last) headers["last-event-id"] = String(last);
      const response = await fetch(`/api/jobs/${job}/events`, { headers, signal });
      if (!response.ok) throw await Problem.of(response);
      onConnection(true);
      tries = 0;
      for await (const event of read(response)) {
        last = event.id || last;
        onEvent(event);
        if (["done", "failed", "cancelled"].includes(event.event)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      const problem = Problem.from(error);
      if (problem.offline) tell(problem);
      if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) throw problem;
    }
    onConnection(false);
    const pause = PAUSES_MS[Math.min(tries++, PAUSES_MS.length - 1)];
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

async function* read(response: Response): AsyncGenerator<JobEvent> {
  const parser = new EventParser();
  const reader = (response.body as ReadableStream<BufferSource>)
    .pipeThrough(new TextDecoderStream())
    .getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield* parser.push(value);
  }
}
