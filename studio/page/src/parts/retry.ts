/** Asks for a picture again that a busy server did not answer; for `{@attach retry}` on an img. */
const PAUSES_MS = [500, 1500, 4000];

export function retry(image: HTMLImageElement): () => void {
  let tries = 0;
  let asked = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = () => {
    const source = image.src;
    if (source !== asked) tries = 0;
    asked = source;
    const pause = PAUSES_MS[tries++];
    if (pause !== undefined) timer = setTimeout(() => image.src === source && (image.src = source), pause);
  };
  image.addEventListener("error", again);
  return () => {
    clearTimeout(timer);
    image.removeEventListener("error", again);
  };
}
