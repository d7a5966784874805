/** Has a view follow its address: `#/view/graph/run` says which graph is worked with, and which run is shown. */
import { untrack } from "svelte";
import { connection } from "../state/connection.svelte";
import { route, type View } from "../state/route.svelte";
import type { Workbench } from "../state/workbench.svelte";
import { restoreRun } from "./restoreRun";

/** For the setup of a view; what is shown meanwhile does not change the address. */
export function followAddress(view: () => View, of: () => Workbench): void {
  const workbench = $derived(of());
  const name = $derived(route.place.parts[0] ?? workbench.last);
  const job = $derived(route.place.parts[1]);

  $effect(() => {
    void connection.anew;
    if (name) void workbench.open(name);
  });
  $effect(() => {
    void connection.anew;
    const { graph, form, run } = workbench;
    if (!form || !run || !job || graph?.name !== name) return;
    untrack(() => {
      if (run.job?.id !== job) void restoreRun(job, form, run, "address");
    });
  });
  // Who comes back to a view finds the run that was left there, also after a reload.
  $effect(() => {
    const { graph, run } = workbench;
    if (job || !run?.job || graph?.name !== name) return;
    const parts = [run.graph.name, run.job.id];
    untrack(() => route.place.view === view() && route.note(view(), parts));
  });
}
