/** Requests with a limit on everything: time, size, number of attempts. It knows HTTP and the network's errors, and no operation. */
import { ICNError, type ErrorKind, isKind, type Reason } from './error.js'
import { parseJSON, stringifyJSON } from './json.js'

export interface HTTPOptions {
  /** Where the node is, e.g. "https://coop.example"; operations are below /api/v1. */
  baseUrl: string
  /** Default: the global fetch. */
  fetch?: typeof fetch | undefined
  /** Milliseconds that one attempt may take; default 30,000. */
  timeout?: number | undefined
  /** Attempts beyond the first; default 4. */
  retries?: number | undefined
  /** Milliseconds of the first pause between attempts; it doubles each time, up to 32 times, and a random part of it is taken off. Default 250. */
  pause?: number | undefined
}

export interface HTTPRequest {
  op: string
  method: string
  path: string
  query?: Record<string, unknown> | undefined
  body?: unknown
  headers?: Record<string, string | undefined>
  /** Whether doing it twice is as good as once: only then is another attempt made. */
  repeatable: boolean
  signal?: AbortSignal | undefined
  timeout?: number | undefined
}

const maxAnswer = 32 << 20 // bytes; the greatest page of anything is far below
const longestWait = 60 // seconds that a node may ask us to wait before we give the error to the caller

const byStatus: Record<number, ErrorKind> = {
  400: 'invalid', 401: 'unauthenticated', 403: 'refused', 404: 'not-found', 408: 'timeout', 409: 'conflict', 413: 'too-large', 422: 'invalid', 429: 'rate-limited',
  501: 'unsupported', 502: 'unavailable', 503: 'unavailable', 504: 'timeout',
}

export class HTTP {
  readonly #options: HTTPOptions
  readonly #base: string

  constructor(options: HTTPOptions) {
    this.#options = options
    let url: URL
    try {
      url = new URL(options.baseUrl)
    } catch (cause) {
      throw new ICNError('invalid', `baseUrl ${JSON.stringify(options.baseUrl)}: want an address like https://coop.example`, { cause })
    }
    this.#base = url.href.replace(/\/+$/, '') + '/api/v1'
  }

  /** Sends a request, again while that is allowed and helps, and returns the decoded answer. */
  async json(req: HTTPRequest): Promise<unknown> {
    const retries = req.repeatable ? (this.#options.retries ?? 4) : 0
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#once(req, async (res, signal) => decodeBody(req.op, await readText(req.op, res, signal)))
      } catch (err) {
        if (!(err instanceof ICNError) || !err.transient || attempt >= retries || (err.retryAfter ?? 0) > longestWait) throw err
        await sleep(Math.max(this.backoff(attempt), (err.retryAfter ?? 0) * 1000), req.signal)
      }
    }
  }

  /** Opens a stream: one attempt; the time limit is for the head of the answer only. */
  async open(req: HTTPRequest): Promise<Response> {
    return this.#once(req, async (res) => res, true)
  }

  /** Milliseconds to pause after the given number of failures: at random between half and all of what doubles each time. */
  backoff(failures: number): number {
    const most = (this.#options.pause ?? 250) * 2 ** Math.min(failures, 5)
    return most * (0.5 + Math.random() / 2)
  }

  async #once<T>(req: HTTPRequest, read: (res: Response, signal: AbortSignal) => Promise<T>, stream = false): Promise<T> {
    if (req.signal?.aborted) throw aborted(req.op, req.signal)
    const stop = new AbortController()
    let late = false
    const giveUp = (): void => stop.abort()
    req.signal?.addEventListener('abort', giveUp, { once: true })
    const timer = setTimeout(() => {
      late = true
      stop.abort()
    }, req.timeout ?? this.#options.timeout ?? 30_000)
    try {
      const init: RequestInit = { method: req.method, headers: headersOf(req), redirect: 'error', credentials: 'omit', cache: 'no-store', signal: stop.signal }
      if (req.body !== undefined) init.body = stringifyJSON(req.body)
      const res = await (this.#options.fetch ?? fetch)(this.url(req), init)
      if (!res.ok) throw problem(req.op, res, await readText(req.op, res, stop.signal))
      return await read(res, stop.signal)
    } catch (cause) {
      if (cause instanceof ICNError) throw cause
      if (req.signal?.aborted) throw aborted(req.op, req.signal)
      if (late) throw new ICNError('timeout', `${req.op}: no answer in time`, { op: req.op, cause })
      throw new ICNError('network', `${req.op}: no answer: ${cause instanceof Error ? cause.message : String(cause)}`, { op: req.op, cause })
    } finally {
      clearTimeout(timer)
      if (!stream) req.signal?.removeEventListener('abort', giveUp) // of a stream it ends the body, too
    }
  }

  /** Where a request goes. */
  url(req: HTTPRequest): string {
    const query = new URLSearchParams()
    for (const [k, v] of Object.entries(req.query ?? {})) {
      if (v === undefined || v === null) continue
      for (const one of Array.isArray(v) ? v : [v]) query.append(k, typeof one === 'object' ? stringifyJSON(one) : String(one))
    }
    const q = query.toString()
    return this.#base + req.path + (q && '?' + q)
  }
}

function headersOf(req: HTTPRequest): Record<string, string> {
  const h: Record<string, string> = { accept: 'application/json' }
  if (req.body !== undefined) h['content-type'] = 'application/json'
  for (const [k, v] of Object.entries(req.headers ?? {})) if (v !== undefined) h[k] = v
  return h
}

async function readText(op: string, res: Response, signal: AbortSignal): Promise<string> {
  const body = res.body
  if (!body) return res.text()
  const reader = body.getReader()
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let text = ''
  let size = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (signal.aborted) throw signal.reason
    if (done) return text + decoder.decode()
    size += value.length
    if (size > maxAnswer) {
      void reader.cancel()
      throw new ICNError('too-large', `${op}: the answer is over ${maxAnswer} bytes`, { op })
    }
    text += decoder.decode(value, { stream: true })
  }
}

function decodeBody(op: string, text: string): unknown {
  if (text === '') return undefined
  try {
    return parseJSON(text)
  } catch (cause) {
    throw new ICNError('internal', `${op}: the answer is not JSON: is this the address of a node?`, { op, cause })
  }
}

/** The error that an answer tells: problem+json of RFC 9457, or whatever stands between us and the node. */
function problem(op: string, res: Response, text: string): ICNError {
  let p: Record<string, unknown> = {}
  try {
    p = (parseJSON(text) ?? {}) as Record<string, unknown>
  } catch {
    // a proxy's page: the status has to do
  }
  return errorOf(op, p, res.status, retryAfter(res.headers.get('retry-after')))
}

/** The error that a problem document tells. */
export function errorOf(op: string, p: Record<string, unknown>, status?: number, after?: number): ICNError {
  const kind = isKind(p.code) ? p.code : ((status !== undefined && byStatus[status]) || 'internal')
  const text = typeof p.detail === 'string' ? p.detail : typeof p.title === 'string' ? p.title : `HTTP status ${status}`
  const reason = p.reason as Reason | undefined
  return new ICNError(kind, text, {
    op: typeof p.op === 'string' ? p.op : op, status, reason, refusal: p.refusal as string | undefined, retryAfter: after, receipt: p.receipt,
  })
}

/** Seconds of a Retry-After header. */
function retryAfter(v: string | null): number | undefined {
  if (!v) return undefined
  if (/^\d+$/.test(v.trim())) return Number(v)
  const at = Date.parse(v)
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - Date.now()) / 1000))
}

function aborted(op: string, signal: AbortSignal): ICNError {
  return new ICNError('aborted', `${op}: given up by the caller`, { op, cause: signal.reason })
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted('wait', signal))
    const end = (): void => {
      clearTimeout(timer)
      reject(aborted('wait', signal!))
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', end)
      resolve()
    }, ms)
    signal?.addEventListener('abort', end, { once: true })
  })
}
