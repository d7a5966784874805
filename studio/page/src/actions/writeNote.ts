import { writeNote } from "../api/pictures";
import type { Picture } from "../api/types";
import { changes } from "../state/changes.svelte";
import { toasts } from "../state/toasts.svelte";

export async function keepNote(picture: Picture, note: string): Promise<void> {
  try {
    await writeNote(picture.id, note);
    changes.mark(picture.id, { note });
  } catch (error) {
    toasts.fail("The note was not kept.", error);
  }
}
