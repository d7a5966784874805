/** How pictures travel by drag from one part of the page to another: their ids, joined by commas. */
export const dragged = {
  MIME: "application/x-studio-pictures",
  put(event: DragEvent, ids: string[]): void {
    event.dataTransfer?.setData(this.MIME, ids.join(","));
  },
  ids(event: DragEvent): string[] {
    return (event.dataTransfer?.getData(this.MIME) ?? "").split(",").filter(Boolean);
  },
};
