/** A job as it happens: what its nodes do, what they answered, and the pictures so far. */
import { followJob } from "../api/events";
import { startJob } from "../api/graphs";
import { lastDone, readJob } from "../api/jobs";
import type { Graph, Job, JobEvent, JobState, NodeState, ProblemBody } from "../api/types";
import { learn, NOTHING, pictureCount, share, type Earlier } from "../graph/earlier";
import { picturesOf, priorsOf, type Shown } from "../graph/results";
import { keep, read } from "./kept";
import { toasts } from "./toasts.svelte";

export interface LiveNode {
  state: NodeState;
  progress: number | null;
  step: string;
  seconds: number | null;
  cached: boolean;
  preview: string | null;
  outputs: Record<string, unknown>;
}

const IDLE: LiveNode = {
  state: "waiting",
  progress: null,
  step: "",
  seconds: null,
  cached: false,
  preview: null,
  outputs: {},
};

const KEY = "studio-earlier:";

export class Run {
  job: Job | null = $state.raw(null);
  state: JobState | "idle" = $state("idle");
  /** Whether a run is being handed in, and whether one is being read; until it is there, the last one stays. */
  starting = $state(false);
  reading = $state(false);
  /** Why the last run that was asked for was not begun. */
  unsent = $state("");
  position: number | null = $state(null);
  error: ProblemBody | null = $state.raw(null);
  nodes: Record<string, LiveNode> = $state({});
  /** Nodes in the order in which they finished; what a later one answered stands for what an earlier one did. */
  finished: string[] = $state([]);
  /** How far the whole is, 0 to 1. */
  progress = $state(0);
  /** What earlier runs of the graph tell of this one. */
  earlier: Earlier = $state.raw(NOTHING);
  connected = $state(true);
  /** What weights are being loaded, if any are. */
  loading = $state("");
  #stop: AbortController | null = null;
  /** Counts what was asked for: an answer that comes after a later wish is not shown. */
  #turn = 0;

  constructor(readonly graph: Graph) {
    const kept = read<Earlier>(KEY + graph.name);
    if (Object.keys(kept).length) this.earlier = { ...NOTHING, ...kept };
  }

  readonly active = $derived(["queued", "running"].includes(this.state));
  readonly outputs = $derived.by(() => this.#outputs());
  readonly pictures: Shown[] = $derived.by(() =>
    picturesOf(this.graph, this.outputs, this.job?.pictures ?? []),
  );
  readonly priors = $derived.by(() => priorsOf(this.graph, this.outputs));
  readonly preview = $derived.by(() =>
    Object.values(this.nodes).findLast((node) => node.state === "running" && node.preview),
  );

  /** How many pictures are to come, as far as is known. */
  expected(inputs: Record<string, unknown>): number {
    return pictureCount(this.earlier, this.graph, inputs);
  }

  node(name: string): LiveNode {
    return this.nodes[name] ?? IDLE;
  }

  /** Hands the job in and shows it, unless another one runs here; throws what the server says against it. */
  async start(inputs: Record<string, unknown>, bundle: string | null): Promise<Job> {
    const turn = this.active ? null : ++this.#turn;
    this.starting = true;
    if (this.earlier === NOTHING) void this.#ask();
    try {
      const job = await startJob(this.graph.name, inputs, bundle);
      if (turn === this.#turn) this.#show(job);
      return job;
    } finally {
      this.starting = false;
    }
  }

  /** Shows a job that there is; returns nothing where another one was asked for meanwhile. */
  async show(id: string): Promise<Job | null> {
    const turn = ++this.#turn;
    this.reading = true;
    try {
      const job = await readJob(id);
      if (turn !== this.#turn) return null;
      this.#show(job);
      return job;
    } finally {
      if (turn === this.#turn) this.reading = false;
    }
  }

  /** Shows a job from its beginning; follows it where it is not at its end. */
  #show(job: Job): void {
    this.#clear();
    this.#take(job);
    if (this.active) void this.#follow(job.id);
  }

  #clear(): void {
    this.#stop?.abort();
    this.job = null;
    this.state = "idle";
    this.position = null;
    this.error = null;
    this.finished = [];
    this.nodes = {};
    this.progress = 0;
    this.connected = true;
    this.unsent = "";
  }

  apply({ event, data }: JobEvent): void {
    const name = String(data.node ?? "");
    const node = name ? (this.nodes[name] ??= { ...IDLE }) : null;
    this.loading =
      event === "loading"
        ? `${name || String(data.entry)}, ${String(data.done)} of ${String(data.total)}`
        : "";
    if (event === "queued") {
      this.state = "queued";
      this.position = (data.position as number | null) ?? null;
    } else if (event === "started") {
      this.state = "running";
      this.position = null;
      // A job that is taken over after a crash begins anew.
      if (Number(data.attempt) > 1) this.progress = 0;
      this.nodes = {};
      this.finished = [];
    } else if (event === "node-started" && node) {
      node.state = "running";
    } else if (event === "node-progress" && node) {
      node.state = "running";
      node.progress = (data.fraction as number | null) ?? null;
      node.step = data.steps ? `${String(data.step)}/${String(data.steps)}` : "";
      node.preview = (data.preview as string | null) ?? node.preview;
    } else if (event === "picture-preview" && node) {
      node.preview = (data.preview as string | null) ?? (data.url as string | null) ?? node.preview;
    } else if (event === "node-finished" && node) {
      node.state = "done";
      node.progress = 1;
      node.preview = null;
      node.seconds = (data.seconds as number | null) ?? null;
      node.cached = Boolean(data.cached);
      node.outputs = (data.outputs as Record<string, unknown> | null) ?? {};
      this.finished = [...this.finished.filter((one) => one !== name), name];
    } else if (event === "node-failed" && node) {
      node.state = "failed";
      node.seconds = (data.seconds as number | null) ?? null;
    } else if (event === "failed") {
      this.error = data.error as ProblemBody;
    }
    this.#advance();
  }

  /** Events that are told again do not take progress back. */
  #advance(): void {
    this.progress = Math.max(this.progress, share(this.earlier, this.graph.tree, this.nodes));
  }

  async #follow(id: string): Promise<void> {
    this.#stop?.abort();
    const stop = (this.#stop = new AbortController());
    try {
      await followJob(
        id,
        (event) => !stop.signal.aborted && this.apply(event),
        stop.signal,
        (standing) => (this.connected = standing),
      );
      if (!stop.signal.aborted) this.#take(await readJob(id));
    } catch (error) {
      this.connected = false;
      toasts.fail("The run is no longer followed.", error);
    }
  }

  #take(job: Job): void {
    this.job = job;
    this.state = job.state;
    this.position = job.position;
    this.error = job.error;
    for (const { name, state, progress, seconds, cached, outputs } of job.nodes) {
      this.nodes[name] = {
        ...IDLE,
        ...this.nodes[name],
        state,
        progress,
        seconds,
        cached,
        outputs: outputs ?? {},
      };
      // They are told in the order in which they run.
      if (state === "done" && !this.finished.includes(name)) this.finished.push(name);
    }
    this.#advance();
    if (job.state === "done") {
      this.earlier = learn(this.earlier, this.graph, job.inputs, this.nodes, this.pictures);
      keep(KEY + this.graph.name, this.earlier);
    }
  }

  /** Where this browser knows of no run of the graph, the server may. */
  async #ask(): Promise<void> {
    const [job] = await lastDone(this.graph.name).catch(() => []);
    if (!job || this.earlier !== NOTHING) return;
    const nodes = Object.fromEntries(job.nodes.map((node) => [node.name, node]));
    this.earlier = learn(
      NOTHING,
      this.graph,
      job.inputs,
      nodes,
      picturesOf(this.graph, job.outputs, job.pictures),
    );
  }

  #outputs(): Record<string, unknown> {
    const told = this.finished.map((name) => this.nodes[name]?.outputs);
    return Object.assign({}, ...told, this.job?.outputs) as Record<string, unknown>;
  }
}
