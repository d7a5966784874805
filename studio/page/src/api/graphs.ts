import { answer, api } from "./client";
import type { Graph } from "./types";

export const listGraphs = () => answer(api.GET("/api/graphs"));

// A schema of JSON is any object to the API's own document.
export const readGraph = (name: string) =>
  answer(api.GET("/api/graphs/{name}", { params: { path: { name } } })) as Promise<Graph>;

export const loadWeights = (name: string) =>
  answer(api.POST("/api/graphs/{name}/load", { params: { path: { name } } }));

/** Hands a job in; the server answers at once, the work is told by the job's events. */
export const startJob = (name: string, inputs: Record<string, unknown>, bundle: string | null) =>
  answer(api.POST("/api/graphs/{name}/jobs", { params: { path: { name } }, body: { inputs, bundle } }));
