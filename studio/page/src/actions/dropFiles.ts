/** Keeps pictures that were dropped onto the page; one that was drawn here brings its settings back. */
import { gallery } from "../state/gallery.svelte";
import { toasts } from "../state/toasts.svelte";
import { recallSettings } from "./recallSettings";
import { onlyPictures, upload } from "./upload";

export async function dropFiles(files: File[]): Promise<void> {
  const pictures = onlyPictures(files);
  if (!pictures.length) return;
  const kept = (await Promise.all(pictures.map(upload))).filter((one) => one !== null);
  const [first] = kept;
  if (kept.length === 1 && first?.provenance) await recallSettings(first);
  else if (kept.length) toasts.say(kept.length === 1 ? "One picture kept." : `${kept.length} pictures kept.`);
  await gallery.refresh(true);
}
