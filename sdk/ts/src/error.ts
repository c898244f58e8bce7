/**
 * What kind of failure an error is. The first eleven are the kinds of the network, by the same names as everywhere else; the last three arise here:
 * `network` (no answer came), `aborted` (the caller gave up) and `mismatch` (what the node asked us to sign is not what the caller asked for).
 */
export type ErrorKind =
  | 'invalid' | 'unauthenticated' | 'refused' | 'not-found' | 'conflict' | 'too-large' | 'rate-limited' | 'unavailable' | 'timeout' | 'unsupported' | 'internal'
  | 'network' | 'aborted' | 'mismatch'

/** Why a rule said no, and what would change that. */
export interface Reason {
  /** Who says so. */
  domain: string
  /** Which rule: stable, kebab-case. */
  rule: string
  /** One sentence for a person. */
  text: string
  /** What the rule looked at. */
  inputs?: Record<string, string>
  /** What would change the answer, and who can. */
  remedy?: string
}

/** What is known of an error beyond its kind and message. */
export interface ErrorDetail {
  /** The operation or function that failed, e.g. "ledger.transfer". */
  op?: string | undefined
  /** The HTTP status, when an answer came. */
  status?: number | undefined
  reason?: Reason | undefined
  /** Under which name the node remembers the refusal: `client.refusal.explain`. */
  refusal?: string | undefined
  /** Seconds after which another attempt makes sense. */
  retryAfter?: number | undefined
  /** The receipt of what was written all the same, when the level waited for was not reached. */
  receipt?: unknown
  /** A record was signed and sent, and no answer came: the same call again repeats it and signs nothing new. */
  pending?: boolean | undefined
  cause?: unknown
}

const hints: Record<ErrorKind, string> = {
  invalid: 'correct the input: repeating it unchanged will not help',
  unauthenticated: 'log in again: client.auth.login()',
  refused: 'ask who may allow it, see the reason',
  'not-found': 'look at the name or id; the node may not have heard of it yet',
  conflict: 'read the current state and try again',
  'too-large': 'send less at a time',
  'rate-limited': 'wait before the next attempt',
  unavailable: 'try again shortly, or ask another node',
  timeout: 'try again; a write is repeated under the same idempotency key',
  unsupported: 'this node or browser cannot do that',
  internal: 'try again; if it stays, tell who runs the node',
  network: 'check the connection and try again',
  aborted: 'it was given up by the caller',
  mismatch: 'do not use this node: it asked for a signature under something else',
}

/** The one error that this package throws. */
export class ICNError extends Error {
  override readonly name = 'ICNError'
  readonly kind: ErrorKind
  readonly op: string | undefined
  readonly status: number | undefined
  readonly reason: Reason | undefined
  readonly refusal: string | undefined
  readonly retryAfter: number | undefined
  readonly receipt: unknown
  readonly pending: boolean

  constructor(kind: ErrorKind, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.kind = kind
    this.op = detail.op
    this.status = detail.status
    this.reason = detail.reason
    this.refusal = detail.refusal
    this.retryAfter = detail.retryAfter
    this.receipt = detail.receipt
    this.pending = detail.pending ?? false
  }

  /** Alias of kind: the stable code that travels. */
  get code(): ErrorKind {
    return this.kind
  }

  /** What would help: the remedy of the rule that said no, else what helps with errors of this kind. */
  get remedy(): string {
    return this.reason?.remedy || hints[this.kind]
  }

  /** Whether the same request may succeed later without anybody changing anything. */
  get transient(): boolean {
    return ['rate-limited', 'unavailable', 'timeout', 'network'].includes(this.kind)
  }

  /** The same error with more known of it. */
  with(detail: ErrorDetail): ICNError {
    const { op, status, reason, refusal, retryAfter, receipt, pending } = this
    return new ICNError(this.kind, this.message, { op, status, reason, refusal, retryAfter, receipt, pending, cause: this.cause, ...detail })
  }
}

const kinds = new Set<string>(Object.keys(hints))

/** Whether a code names a kind; codes of tomorrow do not. */
export function isKind(code: unknown): code is ErrorKind {
  return typeof code === 'string' && kinds.has(code)
}

export function invalid(op: string, message: string): ICNError {
  return new ICNError('invalid', `${op}: ${message}`, { op })
}
