/** The records of the page's API. Those of a run are described in harness/insight/view.py. */

export type Phase =
  | "start"
  | "load"
  | "join"
  | "compute"
  | "wait"
  | "evaluate"
  | "checkpoint"
  | "store"
  | "stay";

/** phase, start, end, note */
export type Interval = [Phase, number, number, string];
/** start, end, first_round, rounds, compute_s, wait_s, waited_for */
export type Bucket = [number, number, number, number, number, number, number];

export interface Attempt {
  attempt: number;
  link: number;
  request_id: string;
  started: number;
  ended: number | null;
  outcome: "running" | "finished" | "handed_on" | "failed" | "died" | "superfluous";
  cause: string;
  cold_start: Record<string, number> | null;
  intervals: Interval[];
  buckets: Bucket[];
  memory: [number, number][];
  complete: boolean;
}

export interface Rank {
  rank: number;
  state: string;
  round: number;
  rows: number;
  compute_s: number;
  wait_s: number;
  blamed_s: number;
  sent_bytes: number;
  received_bytes: number;
  max_rss_mb: number;
  cpu_s: number;
  /** The ID of the zone of its last attempt; empty if unknown. */
  zone: string;
  attempts: Attempt[];
}

export interface Epoch {
  epoch: number;
  at: number | null;
  loss: number;
  metrics: Record<string, number>;
  validation: Record<string, number> | null;
}

/** at, round, loss */
export type Batch = [number, number, number];

export interface Rounds {
  done: number;
  planned: number;
  p50_ms: number;
  p99_ms: number;
  /** lower edge and upper edge in ms, rounds */
  histogram: [number, number, number][];
  /** round, end in seconds, ms */
  series: [number, number, number][];
}

export interface Mark {
  at: number;
  kind: "fault" | "death" | "retry" | "recovery" | "checkpoint" | "link" | "restart";
  text: string;
  rank: number | null;
  round: number | null;
  cost_s: number | null;
}

export interface Straggler {
  rank: number;
  waited_s: number;
  share: number;
  rounds: number;
  first_round: number;
  last_round: number;
  text: string;
}

export interface Share {
  name: string;
  seconds: number;
  text: string;
}

export interface InvocationView {
  function: string;
  request_id: string;
  attempt: number;
  rank: number | null;
  state: string;
  environment: string;
  queued: number;
  started: number | null;
  ended: number | null;
  init_ms: number | null;
  billed_ms: number;
  used_mb: number;
  error: string;
}

export interface RunView {
  version: number;
  run_id: string;
  status: "running" | "succeeded" | "failed" | "stopped" | "unfinished" | "damaged";
  target: string;
  mode: string;
  started_at: number;
  seconds: number;
  cause: string;
  job: Record<string, unknown>;
  chosen: Record<string, unknown>;
  versions: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: the summary's fields depend on the job
  summary: Record<string, any> | null;
  epochs: Epoch[];
  batches: Batch[];
  ranks: Rank[];
  rounds: Rounds;
  marks: Mark[];
  straggler: Straggler | null;
  shares: Share[];
  advice: string;
  invocations: InvocationView[];
  gaps: string[];
}

export interface LogLine {
  /** seconds since the epoch */
  at: number;
  function: string;
  request_id: string;
  rank: number | null;
  run_id: string | null;
  text: string;
}

/** One attempt of one invocation: C4 of the gateway. Times are seconds since the epoch. */
export interface Invocation {
  number: number;
  function: string;
  version: string;
  request_id: string;
  attempt: number;
  kind: "event" | "request";
  state: "queued" | "running" | "waiting" | "throttled" | "succeeded" | "failed" | "given_up" | "dropped";
  environment: string;
  cold: boolean;
  queued_at: number;
  started_at: number | null;
  ended_at: number | null;
  init_ms: number | null;
  duration_ms: number | null;
  billed_ms: number | null;
  memory_mb: number;
  used_mb: number | null;
  error: string;
  error_message: string;
  due_at: number | null;
  /** Only in the answer about one invocation. */
  payload?: unknown;
  /** Only in the answer about one invocation: the first 100 KB. */
  answer?: unknown;
}

export interface RunLine {
  run_id: string;
  status: string;
  started_at: number;
  seconds: number;
  n_workers: number;
  model: string;
  dataset: string;
  loss: number | null;
  kept: boolean;
  differs: Record<string, unknown>;
}

export interface State {
  project: string;
  stack: {
    up: boolean;
    mode: string;
    services: { name: string; healthy: boolean; endpoint: string }[];
    started_at: number;
  } | null;
  functions: {
    name: string;
    version: string;
    memory_mb: number;
    timeout_s: number;
    environments: { cold: number; busy: number; idle: number };
  }[];
  runs: RunLine[];
}

/** A part of the page: takes itself away again by the function that it returns. */
export type Unmount = () => void;
