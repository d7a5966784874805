/** Takes pictures away; for a day they can be brought back. */
import { changePictures } from "../api/pictures";
import type { Picture } from "../api/types";
import { boards } from "../state/boards.svelte";
import { changes } from "../state/changes.svelte";
import { gallery } from "../state/gallery.svelte";
import { toasts } from "../state/toasts.svelte";

export async function deletePictures(pictures: Picture[]): Promise<void> {
  const ids = pictures.map((picture) => picture.id);
  if (!ids.length) return;
  changes.remove(ids);
  try {
    await changePictures(ids, { deleted: true });
    gallery.selection.drop(ids);
    toasts.say(ids.length === 1 ? "One picture deleted." : `${ids.length} pictures deleted.`, () =>
      bringBack(ids),
    );
    await closeUp();
  } catch (error) {
    changes.bringBack(ids);
    toasts.fail("Not deleted.", error);
  }
}

async function bringBack(ids: string[]): Promise<void> {
  try {
    await changePictures(ids, { deleted: false });
    changes.bringBack(ids);
    await closeUp();
  } catch (error) {
    toasts.fail("Not brought back.", error);
  }
}

/** The wall and the boards count only what is there. */
async function closeUp(): Promise<void> {
  await Promise.all([gallery.reread(), boards.load()]);
}
