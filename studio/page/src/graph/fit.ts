/** Cuts words to the room that they have, as the page's own font draws them. */
const ink = document.createElement("canvas").getContext("2d");
let family = "";

export function fit(text: string, room: number, size: number, weight = 400): string {
  if (!ink) return text;
  family ||= getComputedStyle(document.body).fontFamily;
  ink.font = `${weight} ${size}px ${family}`;
  const width = (words: string) => ink.measureText(words).width;
  if (width(text) <= room) return text;
  let end = Math.min(text.length, Math.ceil(room));
  while (end > 1 && width(`${text.slice(0, end)}…`) > room) end -= 1;
  return `${text.slice(0, end)}…`;
}
