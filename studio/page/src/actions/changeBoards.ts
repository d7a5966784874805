/** Makes boards, fills them, empties them; what was put on one can be taken off again. */
import { createBoard, deleteBoard, putOnBoard, takeFromBoard } from "../api/boards";
import type { Board, Picture } from "../api/types";
import { boards } from "../state/boards.svelte";
import { toasts } from "../state/toasts.svelte";

export async function addBoard(name: string): Promise<Board | null> {
  try {
    const board = await createBoard(name);
    await boards.load();
    return board;
  } catch (error) {
    toasts.fail("The board was not made.", error);
    return null;
  }
}

export async function addToBoard(board: Board, ids: string[]): Promise<void> {
  try {
    await putOnBoard(board.id, ids);
    await boards.load();
    const what = ids.length === 1 ? "One picture" : `${ids.length} pictures`;
    toasts.say(`${what} put on “${board.name}”.`, () => removeFromBoard(board, ids));
  } catch (error) {
    toasts.fail("Not put on the board.", error);
  }
}

export async function removeFromBoard(board: Board, ids: string[]): Promise<void> {
  try {
    await takeFromBoard(board.id, ids);
    await boards.load();
  } catch (error) {
    toasts.fail("Not taken off the board.", error);
  }
}

/** Takes a board away; its pictures stay, and it can be made anew with them. */
export async function removeBoard(board: Board, pictures: Picture[]): Promise<void> {
  try {
    await deleteBoard(board.id);
    await boards.load();
    toasts.say(`The board “${board.name}” is gone, its pictures are not.`, async () => {
      const again = await addBoard(board.name);
      if (again && pictures.length)
        await addToBoard(
          again,
          pictures.map((picture) => picture.id),
        );
    });
  } catch (error) {
    toasts.fail("The board was not taken away.", error);
  }
}
