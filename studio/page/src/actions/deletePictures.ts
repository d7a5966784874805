/** Takes pictures away; for a day they can be brought back. */
import { changePictures } from "../api/pictures";
import type { Picture } from "../api/types";
import { changes } from "../state/changes.svelte";
import { toasts } from "../state/toasts.svelte";

export async function deletePictures(pictures: Picture[]): Promise<void> {
  const ids = pictures.map((picture) => picture.id);
  if (!ids.length) return;
  changes.remove(ids);
  try {
    await changePictures(ids, { deleted: true });
    toasts.say(ids.length === 1 ? "One picture deleted." : `${ids.length} pictures deleted.`, () =>
      bringBack(ids),
    );
  } catch (error) {
    changes.bringBack(ids);
    toasts.fail("Not deleted.", error);
  }
}

async function bringBack(ids: string[]): Promise<void> {
  try {
    await changePictures(ids, { deleted: false });
    changes.bringBack(ids);
  } catch (error) {
    toasts.fail("Not brought back.", error);
  }
}
