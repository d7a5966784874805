/** The shapes that the API answers, generated from its OpenAPI document, by the page's names for them. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type TreeNode = Schemas["Node"];
export type GraphItem = Schemas["GraphSummary"];
export type Job = Schemas["Job"];
export type JobState = Job["state"];
export type NodeState = Schemas["JobNode"]["state"];
export type Picture = Schemas["Picture"];
export type ProblemBody = Schemas["Problem"];
export type Me = Schemas["Me"];
export type Board = Schemas["ShownBoard"];
export type System = Schemas["System"];
export type GraphHealth = Schemas["GraphHealth"];
export type Arm = Schemas["Arm-Input"];
export type Pair = Schemas["Pair"];
export type Tally = Omit<Schemas["ShownTally"], "interval"> & { interval: number[] };
export type Revealed = Omit<Schemas["Revealed"], "tally"> & { tally: Tally };
export type Choice = Schemas["Choice"]["choice"];

/** The JSON schema of a port, as far as a form needs it. */
export interface Schema {
  type?: string;
  format?: string;
  description?: string;
  enum?: string[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  default?: unknown;
  unit?: string;
  /** Whether a picture is one that a person draws. */
  drawn?: boolean;
  dtype?: string;
  shape?: number[];
  items?: Schema;
  properties?: Record<string, Schema>;
  propertyNames?: Schema;
  additionalProperties?: Schema | boolean;
  $ref?: string;
  $defs?: Record<string, Schema>;
}

/** A page of a listing; `as_of`, given back, keeps positions as they are. */
export interface PicturePage {
  items: Picture[];
  next: string | null;
  total: number;
  as_of: number;
}

export type Input = Omit<Schemas["Input"], "schema" | "limits"> & { schema: Schema };
export type Output = Omit<Schemas["Output"], "schema"> & { schema: Schema };
export type Graph = Omit<Schemas["Graph"], "inputs" | "outputs"> & { inputs: Input[]; outputs: Output[] };

/** A picture where it is a value of a port: in a request by its id, in an answer by where its bytes are. */
export interface PictureRef {
  picture?: string | null;
  hash?: string;
  url?: string;
  thumbnail?: string;
  width?: number;
  height?: number;
}

export interface JobEvent {
  id: number;
  event: string;
  data: Record<string, unknown>;
}
