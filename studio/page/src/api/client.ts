/** One way to the server: problems as exceptions, and whether the server answers. A token is a cookie. */
import createClient from "openapi-fetch";
import { Problem, retryAfter } from "./problem";
import type { paths } from "./schema";

type Listener = (problem: Problem | null) => void;
const listeners = new Set<Listener>();

const BUSY = [429, 502, 503, 504];
const PAUSES_S = [0.3, 1];
const LONGEST_PAUSE_S = 3;

/** Tells `listener` of every answer: null where one came, the problem where none did or a token is asked for. */
export function onAnswer(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function tell(problem: Problem | null): void {
  for (const listener of listeners) listener(problem);
}

/** What only reads is asked for again, a few times, where the server has no time for it just now. */
async function patiently(request: Request): Promise<Response> {
  if (request.method !== "GET") return fetch(request);
  for (const pause of PAUSES_S) {
    const response = await fetch(request.clone());
    const wait = retryAfter(response) ?? pause;
    if (!BUSY.includes(response.status) || wait > LONGEST_PAUSE_S) return response;
    await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
  }
  return fetch(request);
}

export const api = createClient<paths>({ fetch: patiently });

api.use({
  async onResponse({ response }) {
    if (response.ok) {
      tell(null);
      return;
    }
    const problem = await Problem.of(response);
    tell(problem.status === 401 || problem.unavailable ? problem : null);
    throw problem;
  },
  onError({ error, request }) {
    const problem = Problem.from(error);
    if (!request.signal.aborted) tell(problem);
    return problem;
  },
});

/** Returns what was answered; whatever is no good answer was thrown as a Problem. */
export async function answer<T>(asked: Promise<{ data?: T }>): Promise<T> {
  return (await asked).data as T;
}
