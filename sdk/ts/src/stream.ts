/** Streams: server-sent events read by fetch, so that the token goes in a header, as async iterables that go on by themselves where they ended. */
import { ICNError } from './error.js'
import { errorOf, type HTTP, type HTTPRequest, sleep } from './http.js'
import { parseJSON } from './json.js'
import { readSocket, type SocketClass } from './socket.js'

const maxEvent = 4 << 20 // characters of one event
const silence = 60_000 // milliseconds without a sign of life, which a node gives every 20 seconds

/** One item as it came. */
export interface ServerEvent {
  id: string | undefined
  event: string
  data: string
}

/** Reads the events of a body by the rules of the HTML standard, section 9.2.6. Undefined is a sign of life without an event. */
export async function* readEvents(body: ReadableStream<Uint8Array>, patience = silence): AsyncGenerator<ServerEvent | undefined> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let id: string | undefined
  let event = 'message'
  let data: string[] = []
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), patience)
      if (done) return // an event that is not complete is none
      text += decoder.decode(value, { stream: true })
      if (text.length > maxEvent) throw new ICNError('too-large', `stream: an event is over ${maxEvent} characters`)
      // A line that ends the chunk with CR may be the first half of CRLF: it waits for the next chunk.
      for (let end: RegExpExecArray | null; (end = /\r\n|\n|\r(?!$)/.exec(text)); ) {
        const line = text.slice(0, end.index)
        text = text.slice(end.index + end[0].length)
        if (line === '') {
          if (data.length > 0) yield { id, event, data: data.join('\n') }
          event = 'message'
          data = []
          continue
        }
        const colon = line.indexOf(':')
        const field = colon < 0 ? line : line.slice(0, colon)
        const rest = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
        if (field === 'data') data.push(rest)
        else if (field === 'event') event = rest || 'message'
        else if (field === 'id' && !rest.includes('\0')) id = rest
      }
      yield undefined
    }
  } finally {
    void reader.cancel().catch(() => undefined)
  }
}

async function within<T>(p: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    return await Promise.race([
      p,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new ICNError('network', 'stream: nothing was heard of the node for a minute')), ms)
      }),
    ])
  } finally {
    clearTimeout(timer)
  }
}

/** Opens a stream as server-sent events. */
async function byEvents(http: HTTP, req: HTTPRequest, cursor: string | undefined, signal: AbortSignal): Promise<AsyncIterable<ServerEvent | undefined>> {
  const res = await http.open({ ...req, signal, headers: { ...req.headers, accept: 'text/event-stream', 'last-event-id': cursor } })
  if (!res.body) throw new ICNError('unsupported', `${req.op}: this platform's fetch gives no body to read: give ICNClient one that does`, { op: req.op })
  return readEvents(res.body)
}

/**
 * The items of a stream. When the connection is lost it goes on after the last cursor, once the node answers again, for as long as the caller listens;
 * a stream whose items have no cursor cannot, and ends with the error. With a class of sockets it comes by WebSocket, and where none can be opened, by
 * server-sent events, which also say why when the node refuses.
 */
export async function* follow<Item>(http: HTTP, prepare: (stale?: HTTPRequest) => Promise<HTTPRequest>, signal?: AbortSignal, sockets?: SocketClass): AsyncGenerator<Item> {
  let cursor: string | undefined
  let refused: HTTPRequest | undefined // the one before, when its token was not taken
  for (let failures = 0; ; ) {
    const stop = new AbortController()
    const end = (): void => stop.abort(signal?.reason)
    signal?.addEventListener('abort', end, { once: true })
    let failure: ICNError
    let req: HTTPRequest | undefined
    try {
      req = await prepare(refused)
      for await (const e of (sockets && (await readSocket(sockets, http, req, cursor, stop.signal))) ?? (await byEvents(http, req, cursor, stop.signal))) {
        if (!e) continue
        if (e.event === 'problem') throw errorOf(req.op, (parseJSON(e.data) ?? {}) as Record<string, unknown>)
        if (e.event === 'end') return
        failures = 0
        refused = undefined
        cursor = e.id ?? cursor
        yield parseJSON(e.data) as Item
      }
      if (cursor === undefined) return // nothing to go on from: what came was all
      failure = new ICNError('network', `${req.op}: the node ended the stream`, { op: req.op })
    } catch (err) {
      if (signal?.aborted) throw new ICNError('aborted', 'stream: given up by the caller', { cause: signal.reason })
      failure = err instanceof ICNError ? err : new ICNError('network', `stream: ${err instanceof Error ? err.message : String(err)}`, { cause: err })
      // A token ends while a stream goes on, which is then opened anew with another; a second no in a row is one.
      const again = failure.kind === 'unauthenticated' && req !== undefined && refused === undefined
      if (again) refused = req
      else if (!failure.transient || (cursor === undefined && failures >= 3)) throw failure
    } finally {
      signal?.removeEventListener('abort', end)
      stop.abort() // also when the caller leaves the loop
    }
    await sleep(Math.max(http.backoff(failures++), (failure.retryAfter ?? 0) * 1000), signal)
  }
}
