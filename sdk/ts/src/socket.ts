/** Streams by WebSocket: one text message is one item. */
import { ICNError } from './error.js'
import { errorOf, type HTTP, type HTTPRequest } from './http.js'
import { parseJSON } from './json.js'
import type { ServerEvent } from './stream.js'

/** What is needed of the platform's WebSocket. */
export type SocketClass = new (url: string, protocols: string[]) => Pick<WebSocket, 'addEventListener' | 'close'>

const protocol = 'icn.v1'
const bearer = 'icn.bearer.' // a page can set no header; the URL would stand in logs
const mostWaiting = 1024 // items that came and were not taken: nothing holds a WebSocket back
const opening = 30_000 // milliseconds

/**
 * Opens a stream as a WebSocket. Undefined when that fails, for a reason that no browser tells: a proxy that knows none, or the node's refusal. The token
 * goes as a subprotocol.
 */
export async function readSocket(
  sockets: SocketClass, http: HTTP, req: HTTPRequest, cursor: string | undefined, signal: AbortSignal,
): Promise<AsyncIterable<ServerEvent> | undefined> {
  const token = req.headers?.authorization?.slice('Bearer '.length)
  const url = http.url(cursor === undefined ? req : { ...req, query: { ...req.query, after: cursor } }).replace(/^http/, 'ws')
  const items: string[] = []
  let over: Error | undefined // why it ended
  let wake: () => void = () => undefined
  const end = (why: Error): void => {
    over ??= why
    socket.close()
    wake()
  }
  const socket = new sockets(url, token === undefined ? [protocol] : [protocol, bearer + token])
  socket.addEventListener('message', (m: MessageEvent) => {
    if (typeof m.data !== 'string') return end(new ICNError('internal', `${req.op}: a message that is no text`, { op: req.op }))
    if (over) return
    if (items.push(m.data) > mostWaiting) end(new ICNError('unavailable', `${req.op}: over ${mostWaiting} items wait to be taken: the stream is opened anew`, { op: req.op }))
    else wake()
  })
  socket.addEventListener('close', (e: CloseEvent) => end(closed(req.op, e.code, e.reason)))
  socket.addEventListener('error', () => undefined) // a close follows, and says more
  signal.addEventListener('abort', () => end(new ICNError('aborted', 'stream: given up by the caller', { cause: signal.reason })), { once: true })

  const opened = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), opening)
    const settle = (ok: boolean): void => {
      clearTimeout(timer)
      resolve(ok)
    }
    socket.addEventListener('open', () => settle(true))
    wake = () => items.length === 0 && settle(false)
    if (signal.aborted) settle(false)
  })
  if (!opened) {
    socket.close()
    return undefined
  }
  return (async function* (): AsyncGenerator<ServerEvent> {
    try {
      for (;;) {
        const data = items.shift()
        if (data !== undefined) {
          yield { id: (parseJSON(data) as { cursor?: string } | null)?.cursor, event: 'message', data }
          continue
        }
        if (over === done) {
          yield { id: undefined, event: 'end', data: '' }
          return
        }
        if (over) throw over
        await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      socket.close()
    }
  })()
}

const done = new Error('the node has told everything')

/** What a close means: 1000 is the end, 4000 and an HTTP status the node's error, anything else a connection that is lost. */
function closed(op: string, code: number, reason: string): Error {
  if (code === 1000) return done
  const [, name = '', detail = ''] = /^([a-z-]+): (.*)$/s.exec(reason) ?? []
  if (code > 4000 || code === 1011) return errorOf(op, { code: name, detail: detail || reason }, code > 4000 ? code - 4000 : 500)
  if (code === 1001 || code === 1013) return new ICNError('unavailable', `${op}: ${detail || 'the node ended the stream'}`, { op })
  return new ICNError('network', `${op}: the connection was lost`, { op })
}
