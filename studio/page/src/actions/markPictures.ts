/** Marks favourites and rates them from 1 to 5, many at once; both can be undone. */
import { changePictures } from "../api/pictures";
import type { Picture } from "../api/types";
import { changes } from "../state/changes.svelte";
import { toasts } from "../state/toasts.svelte";

type Marks = { starred: boolean } | { stars: number | null };

/** Changes marks at once on the page, then on the server; takes them back where the server refuses. */
async function mark(pictures: Picture[], marks: Marks): Promise<boolean> {
  const before = pictures.map((picture) => [picture, changes.of(picture)] as const);
  pictures.forEach((picture) => changes.mark(picture.id, marks));
  try {
    const ids = pictures.map((picture) => picture.id);
    await changePictures(ids, "stars" in marks ? { stars: marks.stars ?? 0 } : marks);
    return true;
  } catch (error) {
    before.forEach(([picture, { starred, stars }]) => changes.mark(picture.id, { starred, stars }));
    toasts.fail("The mark was not kept.", error);
    return false;
  }
}

/** Makes all of them favourites, or, where all are, none. */
export async function toggleFavourite(pictures: Picture[]): Promise<void> {
  if (!pictures.length) return;
  const starred = !pictures.every((picture) => changes.of(picture).starred);
  const others = pictures.filter((picture) => changes.of(picture).starred !== starred);
  if (!(await mark(others, { starred })) || pictures.length === 1) return;
  toasts.say(
    `${pictures.length} pictures are ${starred ? "favourites" : "no longer favourites"}.`,
    async () => {
      await mark(others, { starred: !starred });
    },
  );
}

export async function rate(pictures: Picture[], stars: number | null): Promise<void> {
  if (!pictures.length) return;
  const before = new Map<number | null, Picture[]>();
  for (const picture of pictures) {
    const old = changes.of(picture).stars;
    before.set(old, [...(before.get(old) ?? []), picture]);
  }
  if (!(await mark(pictures, { stars })) || pictures.length === 1) return;
  toasts.say(stars ? `${pictures.length} pictures rated ${stars} of 5.` : "Ratings taken away.", async () => {
    for (const [old, some] of before) await mark(some, { stars: old });
  });
}
