import { answer, api } from "./client";
import { Problem } from "./problem";
import type { components, paths } from "./schema";
import type { PicturePage } from "./types";

type Query = NonNullable<paths["/api/pictures"]["get"]["parameters"]["query"]>;

/** What a listing of pictures is narrowed to; what is not given narrows nothing. */
export type Filter = Omit<Query, "cursor" | "limit" | "offset" | "as_of">;

/** Lists pictures, the newest first, or the most alike. */
export const listPictures = (
  filter: Filter,
  offset: number,
  limit: number,
  asOf?: number,
  signal?: AbortSignal,
) =>
  // The document does not say what a page looks like, as the server writes it without a detour.
  answer(
    api.GET("/api/pictures", { params: { query: { ...filter, offset, limit, as_of: asOf } }, signal }),
  ) as Promise<PicturePage>;

export const readPicture = (id: string) =>
  answer(api.GET("/api/pictures/{id}", { params: { path: { id } } }));

/** What can be changed in many pictures at once: all of them, or none. */
export type Marks = Omit<components["schemas"]["Changes"], "ids">;

export const changePictures = (ids: string[], marks: Marks) =>
  answer(api.POST("/api/pictures/changes", { body: { ids, ...marks } }));

export const writeNote = (id: string, note: string) =>
  answer(api.PATCH("/api/pictures/{id}", { params: { path: { id } }, body: { note } }));

/** Uploads a picture; what its PNG says of its making comes back as provenance. */
export async function uploadPicture(file: File, signal?: AbortSignal) {
  const body = new FormData();
  body.append("files", file);
  // The document says of a file that it is text.
  const [picture] = await answer(api.POST("/api/pictures", { body: body as never, signal }));
  if (!picture) throw new Problem(500, "The server kept no picture");
  return picture;
}

/** Lists the pictures that a newcomer can begin with. */
export const listExamples = () => answer(api.GET("/api/examples"));

/** Where a small WebP of a picture is. */
export const thumbnail = (id: string, size: 128 | 256 | 512 = 256) =>
  `/api/pictures/${id}/thumbnail?size=${size}`;

export const fileOf = (id: string) => `/api/pictures/${id}/file`;

/** Where one archive of several pictures is. */
export const zipOf = (ids: string[]) =>
  `/api/pictures.zip?${new URLSearchParams(ids.map((id) => ["ids", id]))}`;

/** Reads bytes that the API answers. */
export async function readBytes(url: string): Promise<Blob> {
  const response = await fetch(url);
  if (!response.ok) throw await Problem.of(response);
  return response.blob();
}
