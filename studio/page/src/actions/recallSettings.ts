/** Brings the settings that made a picture into the form of its graph. */
import { readPicture } from "../api/pictures";
import type { Picture } from "../api/types";
import { graphs } from "../state/graphs.svelte";
import { route } from "../state/route.svelte";
import { toasts } from "../state/toasts.svelte";
import { creating } from "../state/workbench.svelte";

export async function recallSettings(picture: Picture): Promise<void> {
  try {
    if (!graphs.loaded) await graphs.load();
    const { recall } = picture.recall ? picture : await readPicture(picture.id);
    if (!recall) {
      toasts.say("This picture does not say what made it, or no graph of this server did.");
      return;
    }
    await creating.open(recall.graph);
    const { form } = creating;
    if (!form) return;
    // One picture of several was drawn by a seed of its own.
    const own = picture.seed !== null && typeof recall.inputs.seed === "number" ? { seed: picture.seed } : {};
    form.restore({ ...recall.inputs, ...own });
    form.bundle = recall.bundle ?? null;
    route.go("create", [recall.graph]);
    toasts.say("The settings that made it are in the form.", () => form.undo());
  } catch (error) {
    toasts.fail("The settings could not be recalled.", error);
  }
}
