/** A form over a graph's signature: values, faults, drafts that outlive a reload, and a way back. */
import { fileOf, thumbnail } from "../api/pictures";
import { Problem } from "../api/problem";
import { ofField } from "../api/sentences";
import type { Graph, Input, PictureRef } from "../api/types";
import { fault, isPicture, isPictures, toRequest, type Values } from "../form/values";
import { keep, read } from "./kept";
import { toasts } from "./toasts.svelte";
import { Upload } from "./upload.svelte";

const KEY = "studio-draft:";

/** What a form holds, and the run that it was last the same as. */
interface Draft {
  values: Values;
  bundle: string | null;
  of: string | null;
}

export class Form {
  values: Values = $state({});
  /** What the server said of an input, until it is changed. */
  refused: Record<string, string> = $state({});
  /** Whether faults are shown for inputs that nobody has touched yet. */
  strict = $state(false);
  /** Files on their way to the server, by input. */
  uploads: Record<string, Upload[]> = $state({});
  /** The run that was begun by it or is shown beside it; what is written then is a draft of the next one. */
  #of: string | null = null;
  #bundle: string | null = $state(null);
  #past: Values[] = [];

  constructor(readonly graph: Graph) {
    const { values = {}, bundle = null, of = null } = read<Draft>(KEY + graph.name);
    this.values = this.#known(values);
    this.#bundle = bundle;
    this.#of = of;
  }

  /** The weights, or version, to draw with; null is the first that the graph names. */
  get bundle(): string | null {
    return this.#bundle;
  }

  set bundle(name: string | null) {
    this.#bundle = name;
    this.#keep();
  }

  get of(): string | null {
    return this.#of;
  }

  set of(run: string | null) {
    this.#of = run;
    this.#keep();
  }

  readonly main = $derived.by(() => this.graph.inputs.filter((input) => input.group === "main"));
  readonly advanced = $derived.by(() => this.graph.inputs.filter((input) => input.group !== "main"));
  readonly faults = $derived.by(() => {
    const found: Record<string, string> = {};
    for (const input of this.graph.inputs) {
      const words = this.refused[input.name] ?? fault(input, this.values[input.name]);
      if (words) found[input.name] = words;
    }
    return found;
  });
  /** The first place for a picture that is given to no place in particular. */
  readonly place = $derived.by(
    () =>
      this.graph.inputs.find((input) => input.kind === "image") ??
      this.graph.inputs.find((input) => input.kind === "images"),
  );
  readonly uploading = $derived(Object.values(this.uploads).some((some) => some.length > 0));
  readonly ready = $derived(!this.uploading && Object.keys(this.faults).length === 0);

  /** What is to be said at an input: a missing value only once somebody asked for the run. */
  said(input: Input): string {
    const untouched = this.values[input.name] === undefined && !this.refused[input.name];
    return untouched && !this.strict ? "" : (this.faults[input.name] ?? "");
  }

  set(name: string, value: unknown): void {
    if (this.#isOne(name)) this.stop(name);
    if (value === undefined || value === "" || value === null) delete this.values[name];
    else this.values[name] = value;
    delete this.refused[name];
    this.#keep();
  }

  /** Takes files for an input, in place of what it has, or behind it where it takes several. */
  give(name: string, files: File[]): void {
    if (!files.length) return;
    const one = this.#isOne(name);
    if (one) this.stop(name);
    const fresh = (one ? files.slice(0, 1) : files).map((file) => new Upload(file));
    this.uploads[name] = [...(this.uploads[name] ?? []), ...fresh];
    for (const upload of fresh) void this.#send(name, upload);
  }

  /** Takes pictures that the server has, as files are taken. */
  choose(name: string, pictures: string[]): void {
    const refs = pictures.map((picture) => addressed({ picture }));
    if (this.#isOne(name)) this.set(name, refs[0]);
    else this.set(name, [...((this.values[name] as PictureRef[] | undefined) ?? []), ...refs]);
  }

  /** Takes an upload away, or all of an input. */
  stop(name: string, upload?: Upload): void {
    const all = this.uploads[name] ?? [];
    all.filter((one) => !upload || one === upload).forEach((one) => one.end());
    this.uploads[name] = upload ? all.filter((one) => one !== upload) : [];
  }

  async #send(name: string, upload: Upload): Promise<void> {
    try {
      if (!(await upload.send())) return;
    } catch (error) {
      this.stop(name, upload);
      toasts.fail(`“${upload.file.name}” was not taken.`, error);
    }
    // Pictures of a list stay in the order in which they were given.
    for (let first = this.uploads[name]?.[0]; first?.picture; first = this.uploads[name]?.[0]) {
      this.stop(name, first);
      this.choose(name, [first.picture.id]);
    }
  }

  #isOne(name: string): boolean {
    return this.graph.inputs.some((input) => input.name === name && input.kind === "image");
  }

  /** Takes other values as a whole; `undo` brings the last ones back. */
  restore(values: Values): void {
    this.#past.push($state.snapshot(this.values));
    Object.keys(this.uploads).forEach((name) => this.stop(name));
    this.values = this.#known(values);
    this.refused = {};
    this.strict = false;
    this.#keep();
  }

  /** Takes over the picture and the words of another form, where this one has none. */
  inherit(other: Form): void {
    for (const input of this.main) {
      const theirs = other.main.find(({ name, kind }) => name === input.name && kind === input.kind);
      const passed = input.kind === "text" || (input === this.place && theirs === other.place);
      if (theirs && passed && this.values[input.name] === undefined)
        this.set(input.name, $state.snapshot(other.values[input.name]));
    }
  }

  undo(): void {
    const last = this.#past.pop();
    if (!last) return;
    this.values = last;
    this.#keep();
  }

  request(): Values {
    return toRequest(this.graph, $state.snapshot(this.values));
  }

  /** Shows what the server refused at the inputs that it names; returns what belongs to none. */
  refuse(error: unknown): string {
    const problem = Problem.from(error);
    const names = new Set(this.graph.inputs.map((input) => input.name));
    let rest = problem.errors.length ? "" : problem.message;
    for (const one of problem.errors) {
      const name = one.field.replace(/^inputs[./]/, "").split(/[.[/]/)[0] ?? "";
      const words = ofField(one) || problem.message;
      if (names.has(name)) this.refused[name] = words;
      else rest = words;
    }
    return rest;
  }

  /** Keeps only what the graph takes; pictures that come by id get their addresses. */
  #known(values: Values): Values {
    const known: Values = {};
    for (const input of this.graph.inputs) {
      const value = values[input.name];
      if (value === undefined || value === null) continue;
      known[input.name] = isPicture(value)
        ? addressed(value)
        : isPictures(value)
          ? value.map(addressed)
          : value;
    }
    return known;
  }

  #keep(): void {
    keep<Draft>(KEY + this.graph.name, { values: this.request(), bundle: this.#bundle, of: this.#of });
  }
}

function addressed(ref: PictureRef): PictureRef {
  const picture = ref.picture ?? "";
  return { picture, url: fileOf(picture), thumbnail: thumbnail(picture, 512) };
}
