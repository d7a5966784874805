/** How pictures travel by drag from one part of the page to another: their ids, joined by commas. */
let here = false;
addEventListener("dragstart", () => (here = true));
addEventListener("dragend", () => (here = false));

export const dragged = {
  MIME: "application/x-studio-pictures",
  put(event: DragEvent, ids: string[]): void {
    event.dataTransfer?.setData(this.MIME, ids.join(","));
  },
  /** Whether files of this machine are dragged; browsers make files of the page's own pictures, too. */
  isFile(event: DragEvent): boolean {
    return !here && (event.dataTransfer?.types.includes("Files") ?? false);
  },
  ids(event: DragEvent): string[] {
    return (event.dataTransfer?.getData(this.MIME) ?? "").split(",").filter(Boolean);
  },
};
