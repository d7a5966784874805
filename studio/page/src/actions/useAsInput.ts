/** Gives a picture to the graph that is worked with, or to the first that takes one. */
import type { Picture } from "../api/types";
import { graphs } from "../state/graphs.svelte";
import { route } from "../state/route.svelte";
import { toasts } from "../state/toasts.svelte";
import { creating } from "../state/workbench.svelte";

export async function useAsInput(picture: Picture): Promise<void> {
  const takes = (name: string | undefined) =>
    graphs.items.some((graph) => graph.name === name && graph.takes.length > 0);
  const name = takes(creating.last) ? creating.last : graphs.items.find((graph) => graph.takes.length)?.name;
  if (!name) {
    toasts.say("No graph of this server takes a picture.");
    return;
  }
  await creating.open(name);
  const { form } = creating;
  if (!form?.place) return;
  form.choose(form.place.name, [picture.id]);
  route.go("create", [name]);
}
