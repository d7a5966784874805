/** Saves pictures on this machine: one as it is, several in one archive. */
import { readBytes, zipOf } from "../api/pictures";
import type { Picture } from "../api/types";
import { toasts } from "../state/toasts.svelte";

export async function downloadPictures(pictures: Picture[]): Promise<void> {
  const [first] = pictures;
  if (!first) return;
  try {
    const one = pictures.length === 1;
    const blob = await readBytes(one ? first.url : zipOf(pictures.map((picture) => picture.id)));
    const kind = first.media_type.split("/")[1] ?? "png";
    save(blob, one ? `${first.prior ?? first.kind}-${first.id.slice(0, 8)}.${kind}` : "pictures.zip");
  } catch (error) {
    toasts.fail("Not downloaded.", error);
  }
}

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
