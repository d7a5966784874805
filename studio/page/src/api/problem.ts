/** What went wrong, as the server says it (RFC 9457), or as the page sees it where no answer came. */
import { ofRequest } from "./sentences";

export interface FieldError {
  field: string;
  expected?: string | null;
  received?: string | null;
  message?: string | null;
}

/** After how many seconds the server wants to be asked again, if it says so. */
export function retryAfter(response: Response): number | null {
  const said = Number(response.headers.get("retry-after"));
  return Number.isFinite(said) && said > 0 ? said : null;
}

export class Problem extends Error {
  constructor(
    /** HTTP status; 0 where the server could not be reached. */
    readonly status: number,
    readonly title: string,
    readonly detail = "",
    readonly errors: FieldError[] = [],
    /** After how many seconds trying again makes sense, if the server said so. */
    readonly retryAfter_s: number | null = null,
  ) {
    super(ofRequest(detail, errors) || title);
  }

  get offline(): boolean {
    return this.status === 0;
  }

  /** Whether the server, or one that it asks, is not ready or has no time. */
  get unavailable(): boolean {
    return [502, 503, 504].includes(this.status);
  }

  /** What a person can do about it, in one sentence. */
  get advice(): string {
    if (this.status === 401) return "This server asks for a token.";
    if (this.status === 403) return "Your role does not allow this.";
    if (this.status === 429 || this.unavailable) {
      return this.retryAfter_s ? `Try again in ${this.retryAfter_s} s.` : "Try again in a moment.";
    }
    return "";
  }

  static async of(response: Response): Promise<Problem> {
    const body: unknown = await response.json().catch(() => ({}));
    return Problem.read(response.status, body, retryAfter(response));
  }

  static read(status: number, body: unknown, retryAfter_s: number | null = null): Problem {
    const said = (body ?? {}) as { title?: string; detail?: unknown; errors?: FieldError[] };
    const detail = typeof said.detail === "string" ? said.detail : "";
    const errors = Array.isArray(said.errors) ? said.errors : [];
    return new Problem(status, said.title ?? `The server answered ${status}`, detail, errors, retryAfter_s);
  }

  static from(error: unknown): Problem {
    if (error instanceof Problem) return error;
    if (error instanceof TypeError) return new Problem(0, "The server does not answer.");
    return new Problem(
      500,
      "Something went wrong in the page",
      error instanceof Error ? error.message : String(error),
    );
  }
}
