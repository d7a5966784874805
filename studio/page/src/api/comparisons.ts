import { answer, api } from "./client";
import type { components } from "./schema";
import type { Choice } from "./types";

/** Two arms; with `inputs` pairs are drawn, without they are looked for in the gallery. */
export type Asked = Omit<components["schemas"]["Asked"], "wait">;

const WAIT_S = 30;

export const listTallies = () => answer(api.GET("/api/comparisons"));

export const nextPair = (asked: Asked) =>
  answer(api.POST("/api/comparisons/next", { body: { ...asked, wait: WAIT_S } }));

export const readPair = (id: string) =>
  answer(api.GET("/api/comparisons/{id}", { params: { path: { id } } }));

export const choose = (id: string, choice: Choice) =>
  answer(api.POST("/api/comparisons", { body: { id, choice } }));
