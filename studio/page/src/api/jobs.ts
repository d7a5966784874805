import { answer, api } from "./client";

/** Lists jobs, the newest first. */
export const listJobs = (limit: number, cursor: string | null = null) =>
  answer(
    api.GET("/api/jobs", {
      params: { query: { limit, cursor: cursor === null ? undefined : Number(cursor) } },
    }),
  );

/** Lists the last run of a graph that came to its end, if there is one. */
export const lastDone = async (graph: string) =>
  (await answer(api.GET("/api/jobs", { params: { query: { graph, state: ["done"], limit: 1 } } }))).items;

export const readJob = (id: string) => answer(api.GET("/api/jobs/{id}", { params: { path: { id } } }));

export const cancelJob = (id: string) => answer(api.DELETE("/api/jobs/{id}", { params: { path: { id } } }));

/** Says which picture of a job is the best; null takes it back. */
export const choosePicture = (id: string, picture: string | null) =>
  answer(api.PUT("/api/jobs/{id}/best", { params: { path: { id } }, body: { picture } }));
