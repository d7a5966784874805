/** Brings pictures of this machine to the server. */
import { uploadPicture } from "../api/pictures";
import type { Picture } from "../api/types";
import { toasts } from "../state/toasts.svelte";

/** Returns the pictures among files; says so where something else is among them. */
export function onlyPictures(files: Iterable<File>): File[] {
  const all = [...files];
  const found = all.filter((file) => file.type.startsWith("image/"));
  if (found.length < all.length) toasts.say("Only pictures can be taken: PNG, JPEG or WebP.");
  return found;
}

export async function upload(file: File): Promise<Picture | null> {
  try {
    return await uploadPicture(file);
  } catch (error) {
    toasts.fail(`“${file.name}” was not taken.`, error);
    return null;
  }
}
