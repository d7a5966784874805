/** Runs, the newest first; those that wait or run are looked at again and again. */
import { listJobs } from "../api/jobs";
import { Problem } from "../api/problem";
import type { Job } from "../api/types";

const PAGE = 30;
const EVERY_MS = 2000;

export const isActive = (job: Job): boolean => job.state === "queued" || job.state === "running";

class History {
  jobs: Job[] = $state.raw([]);
  next: string | null = $state(null);
  loaded = $state(false);
  problem: Problem | null = $state.raw(null);

  readonly waiting = $derived(this.jobs.filter((job) => job.state === "queued").length);

  /** Reads the newest, and again for as long as somebody looks and some are not at their end; returns what ends that. */
  watch(): () => void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let ended = false;
    const look = async () => {
      if (!document.hidden && (!this.loaded || this.jobs.some(isActive))) await this.#read();
      if (!ended) timer = setTimeout(() => void look(), EVERY_MS);
    };
    this.loaded = false;
    void look();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }

  async more(): Promise<void> {
    if (!this.next) return;
    try {
      const page = await listJobs(PAGE, this.next);
      this.#join(page.items);
      this.next = page.next;
    } catch (error) {
      this.problem = Problem.from(error);
    }
  }

  add(job: Job): void {
    this.#join([job]);
  }

  async #read(): Promise<void> {
    try {
      const page = await listJobs(PAGE);
      if (!this.jobs.length) this.next = page.next;
      this.#join(page.items);
      this.loaded = true;
      this.problem = null;
    } catch (error) {
      this.problem = Problem.from(error);
    }
  }

  /** Takes jobs as they are now. */
  #join(jobs: Job[]): void {
    const all = new Map([...this.jobs, ...jobs].map((job) => [job.id, job]));
    this.jobs = [...all.values()].sort((one, other) => other.created_at.localeCompare(one.created_at));
  }
}

export const history = new History();
