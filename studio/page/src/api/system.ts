import { answer, api } from "./client";

export const readSystem = () => answer(api.GET("/api/system"));

export const whoAmI = () => answer(api.GET("/api/me"));

/** Trades a token for a cookie that no script reads, and that pictures are asked with, too. */
export const enter = (token: string) => answer(api.POST("/api/session", { body: { token } }));
