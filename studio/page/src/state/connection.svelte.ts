/** Whether the server answers, and whether it asks for a token. */
import { onAnswer } from "../api/client";
import { Problem } from "../api/problem";
import { whoAmI } from "../api/system";

const PAUSES_MS = [500, 1000, 2000, 4000, 8000];

class Connection {
  /** "busy" where it answers, or something in its place does, that it is not ready. */
  state: "here" | "busy" | "away" = $state("here");
  /** Whether a token is asked for, and whether the person has put that off. */
  token: "fine" | "asked" | "put off" = $state("fine");
  /** Counts up whenever all is to be read anew: the server is back, a token was taken, somebody wants it. */
  anew = $state(0);
  #tries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking = false;
  #waiting: (() => void)[] = [];

  constructor() {
    onAnswer((problem) => {
      if (problem?.status === 401 && this.token === "fine") this.token = "asked";
      if (problem?.offline) this.#wait("away");
      else if (problem?.unavailable) this.#doubt();
      else this.#found();
    });
    addEventListener("offline", () => this.#wait("away"));
    addEventListener("online", () => this.state === "away" && void this.#look());
  }

  /** Has everything read anew; where a token was asked for, it is asked for again if it still lacks. */
  askAnew(): void {
    this.token = "fine";
    this.anew += 1;
  }

  /** Waits until the server answers again. */
  back(): Promise<void> {
    if (this.state === "here") return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** What has no time may be the server of one graph: only where nothing else is answered all waits. */
  #doubt(): void {
    if (this.state === "here" && !this.#looking) void this.#look();
  }

  async #look(): Promise<void> {
    this.#looking = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      await whoAmI();
    } catch (error) {
      const problem = Problem.from(error);
      if (problem.unavailable) this.#wait("busy");
    }
    this.#looking = false;
  }

  #wait(state: "busy" | "away"): void {
    this.state = state;
    if (this.#timer !== undefined) return;
    const pause = PAUSES_MS[Math.min(this.#tries++, PAUSES_MS.length - 1)];
    this.#timer = setTimeout(() => void this.#look(), pause);
  }

  #found(): void {
    if (this.state === "here") return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#tries = 0;
    this.state = "here";
    this.anew += 1;
    this.#waiting.splice(0).forEach((resolve) => resolve());
  }
}

export const connection = new Connection();
