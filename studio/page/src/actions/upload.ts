/** Brings pictures of this machine to the server, for a form or for the gallery. */
import { fileOf, thumbnail, uploadPicture } from "../api/pictures";
import type { Picture, PictureRef } from "../api/types";
import { toasts } from "../state/toasts.svelte";

export const asRef = (picture: Pick<Picture, "id">): PictureRef => ({
  picture: picture.id,
  url: fileOf(picture.id),
  thumbnail: thumbnail(picture.id, 512),
});

export const onlyPictures = (files: Iterable<File>): File[] =>
  [...files].filter((file) => file.type.startsWith("image/"));

export async function upload(file: File): Promise<Picture | null> {
  try {
    return await uploadPicture(file);
  } catch (error) {
    toasts.fail(`“${file.name}” was not taken.`, error);
    return null;
  }
}
