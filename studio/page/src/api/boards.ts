import { answer, api } from "./client";

export const listBoards = () => answer(api.GET("/api/boards"));

export const createBoard = (name: string) => answer(api.POST("/api/boards", { body: { name } }));

export const deleteBoard = (id: string) =>
  answer(api.DELETE("/api/boards/{id}", { params: { path: { id } } }));

export const putOnBoard = (id: string, ids: string[]) =>
  answer(api.PUT("/api/boards/{id}/pictures", { params: { path: { id } }, body: { ids } }));

export const takeFromBoard = (id: string, ids: string[]) =>
  answer(api.DELETE("/api/boards/{id}/pictures", { params: { path: { id } }, body: { ids } }));
