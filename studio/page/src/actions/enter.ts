import { enter } from "../api/system";
import { Problem } from "../api/problem";
import { connection } from "../state/connection.svelte";

/** Enters with a token; returns what is wrong with it, or nothing. */
export async function enterWith(token: string): Promise<string> {
  try {
    await enter(token);
    connection.askAnew();
    return "";
  } catch (error) {
    const problem = Problem.from(error);
    return problem.status === 401 ? "This token is not known." : problem.message;
  }
}
