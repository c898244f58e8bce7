/** A node written to the contract: it keeps feeds, and fails in the ways that networks and liars do. It checks what it is sent as a node does. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseJSON, stringifyJSON } from '../../src/json.js'
import { publicKey } from '../../src/record/ed25519.js'
import {
  decodeEnvelope, didOf, encode, encodeUnsigned, feedId, fromBase64, fromHex, type Position, toBase64, toHex, type Value, verify, verifyEnvelope, parseAuth,
} from '../../src/record/index.js'

export const space = 'aa'.repeat(32)

export interface Asked {
  method: string
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
  body: Record<string, unknown>
}

/** What to do in the place of answering: `none` nothing, `drop` closes the connection before anything is done, `lose` after it. */
export type Fault = 'none' | 'drop' | 'lose' | 'deny' | { status: number; code?: string; after?: number; extra?: object } | { body: string }

interface Feed { tip: bigint; id: string }

class Refused extends Error {
  constructor(readonly status: number, readonly code: string, readonly extra: object = {}) {
    super(code)
  }
}

export class FakeNode {
  readonly did = didOf(publicKey(new Uint8Array(32).fill(7)))
  readonly asked: Asked[] = []
  readonly feeds = new Map<string, Feed>()
  readonly stored = new Map<string, Uint8Array>() // by id
  readonly receipts = new Map<string, { position: Position }>() // by idempotency name
  /** By path: what goes wrong, once each. */
  readonly faults = new Map<string, Fault[]>()
  /** Changes the record that is prepared: what a liar does. */
  tamper: ((draft: { kind: string; body: Value[]; topic: string; space: string; seq: bigint; prev?: string; time: bigint; device: string }) => void) | undefined
  /** Changes the login message's parts. */
  lie: ((parts: Value[]) => void) | undefined
  audience: string | undefined
  tokenSeconds = 900
  logins = 0
  refreshes = 0
  /** Sessions that hold, by access token. */
  readonly tokens = new Map<string, string>()
  events: { cursor: string; n: number }[] = []
  /** Ends each stream after so many events; 0 never. */
  cut = 0
  /** So many streams end since the token does. */
  expire = 0
  /** Streams end when all is told. */
  ends = false
  void = 0 // records to come that have no effect
  several = 0 // further records that a grant has signed
  #challenges = new Map<string, Uint8Array>()
  #server: Server | undefined
  #serial = 0

  async start(): Promise<string> {
    this.#server = createServer((req, res) => {
      this.#serve(req, res).catch((err: unknown) => {
        if (res.headersSent) return res.destroy()
        const r = err instanceof Refused ? err : new Refused(500, 'internal', { detail: String(err) })
        this.#answer(res, r.status, { type: `urn:icn:problem:${r.code}`, title: r.code, status: r.status, code: r.code, detail: `no: ${r.code}`, ...r.extra }, 'application/problem+json')
        return undefined
      })
    })
    await new Promise<void>((ok) => this.#server!.listen(0, '127.0.0.1', ok))
    return this.url
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server!.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server!.closeAllConnections()
    await new Promise((ok) => this.#server!.close(ok))
  }

  fail(path: string, ...faults: Fault[]): void {
    this.faults.set(path, faults)
  }

  count(path: string): number {
    return this.asked.filter((a) => a.path === path).length
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url!, this.url)
    let text = ''
    req.setEncoding('utf8')
    for await (const c of req) text += c as string
    const path = url.pathname.replace('/api/v1', '')
    const a: Asked = { method: req.method!, path, query: url.searchParams, headers: req.headers, body: text ? (parseJSON(text) as Record<string, unknown>) : {} }
    this.asked.push(a)
    const fault = this.faults.get(path)?.shift()
    if (fault === 'drop') return void res.destroy()
    if (typeof fault === 'object' && 'status' in fault) {
      if (fault.after !== undefined) res.setHeader('retry-after', String(fault.after))
      throw new Refused(fault.status, fault.code ?? 'unavailable', fault.extra)
    }
    if (typeof fault === 'object' && 'body' in fault) {
      res.writeHead(200, { 'content-type': 'application/json' })
      return void res.end(fault.body)
    }
    if (path === '/topics/tail') return this.#stream(a, res)
    const out = this.#do(a)
    if (fault === 'lose') return void res.destroy()
    if (fault === 'deny') {
      this.receipts.clear()
      throw new Refused(409, 'conflict') // and keeps it
    }
    this.#answer(res, 200, out)
  }

  #answer(res: ServerResponse, status: number, body: unknown, type = 'application/json'): void {
    res.writeHead(status, { 'content-type': type })
    res.end(stringifyJSON(body))
  }

  #do(a: Asked): unknown {
    switch (a.path) {
      case '/auth/challenge':
        return this.#challenge(a.body)
      case '/auth/verify':
        return this.#verify(a.body)
      case '/auth/refresh': {
        this.refreshes++
        const did = this.tokens.get(`r:${String(a.body.refresh_token)}`)
        if (!did) throw new Refused(401, 'unauthenticated')
        this.tokens.delete(`r:${String(a.body.refresh_token)}`)
        return this.#issue(did, String(this.tokens.get(`d:${did}`)))
      }
      case '/auth/revoke':
        this.#whose(a)
        this.tokens.clear()
        return { ended: 1 }
      case '/records/prepare':
        return this.#prepare(a)
      case '/records/submit':
        return this.#submit(a)
      case '/ledger/history': {
        this.#whose(a)
        const from = Number(a.query.get('cursor') ?? 0)
        const entries = [from, from + 1].filter((n) => n < 5).map((n) => ({ n }))
        return { entries, ...(from + 2 < 5 ? { cursor: String(from + 2) } : {}) }
      }
      case '/peers/cut':
        this.#whose(a)
        return { key: a.headers['idempotency-key'] }
    }
    if (a.path.startsWith('/ledger/balance/') && this.#whose(a)) return { did: decodeURIComponent(a.path.slice('/ledger/balance/'.length)), balance: 1n << 60n, small: 5 }
    throw new Refused(404, 'not-found')
  }

  #challenge(b: Record<string, unknown>): unknown {
    const parts: Value[] = [
      'ICN/1/login', this.did, this.audience ?? this.did, String(b.did), fromHex(String(b.device)), crypto.getRandomValues(new Uint8Array(16)), Date.now() + 300_000,
    ]
    this.lie?.(parts)
    const message = encode(parts)
    const challenge = `c${++this.#serial}`
    this.#challenges.set(challenge, message)
    return { challenge, message: toBase64(message), audience: parts[2], node: parts[1], expires: new Date().toISOString() }
  }

  #verify(b: Record<string, unknown>): unknown {
    const message = this.#challenges.get(String(b.challenge))
    this.#challenges.delete(String(b.challenge))
    const auth = parseAuth(fromBase64(String(b.auth)))
    if (!message || auth.did !== b.did || auth.device !== b.device || !verify(fromHex(auth.device), message, fromBase64(String(b.signature)))) {
      throw new Refused(401, 'unauthenticated')
    }
    this.logins++
    return this.#issue(auth.did, auth.device)
  }

  #issue(did: string, device: string): unknown {
    const n = ++this.#serial
    this.tokens.set(`t${n}`, did)
    this.tokens.set(`r:r${n}`, did)
    this.tokens.set(`d:${did}`, device)
    return { access_token: `t${n}`, token_type: 'Bearer', expires_in: this.tokenSeconds, refresh_token: `r${n}`, scopes: ['ledger:read'], did, device, session: 'ab'.repeat(16) }
  }

  #whose(a: Asked): string {
    const did = this.tokens.get(String(a.headers.authorization).replace('Bearer ', ''))
    if (!did) throw new Refused(401, 'unauthenticated')
    return did
  }

  #prepare(a: Asked, b: Record<string, unknown> = a.body): Record<string, unknown> {
    this.#whose(a)
    const name = String(b.idempotency)
    const input = b.input as Record<string, Value>
    const done = this.receipts.get(name)
    if (done && !(this.several > 0)) return { receipt: done, output: { receipt: done, balance: -5, available: 95 } }
    const device = String(b.device ?? this.tokens.get(`d:${this.#whose(a)}`))
    const [, verb] = String(b.operation).split('.') as [string, string]
    const draft = {
      version: 1, space, topic: 'ledger', device, seq: 1n, time: BigInt(Date.now()) << 16n, deps: [], kind: verb, auth: new Uint8Array(0),
      body: verb === 'transfer'
        ? [input.to!, input.currency!, input.amount!, input.memo ?? '', input.category ?? '', []]
        : [input.to!, 'hours', BigInt(this.several), input.limit!, 0n, false, true, 0n, []],
    } as { version: number; space: string; topic: string; device: string; seq: bigint; prev?: string; time: bigint; deps: []; kind: string; auth: Uint8Array; body: Value[] }
    const feed = this.feeds.get(feedId(space, 'ledger', device))
    if (feed) Object.assign(draft, { seq: feed.tip + 1n, prev: feed.id })
    this.tamper?.(draft)
    if (draft.seq === 1n) draft.auth = fromBase64(String(b.auth))
    const r = encodeUnsigned({ ...draft, body: encode(draft.body) })
    return { bytes: toBase64(r.unsigned), position: { feed: r.feed, seq: r.seq, id: r.id }, idempotency: name, more: this.several > 0 }
  }

  #submit(a: Asked): unknown {
    this.#whose(a)
    const b = a.body
    const raw = fromBase64((b.records as string[])[0]!)
    const e = decodeEnvelope(raw)
    if (!verifyEnvelope(e)) throw new Refused(400, 'invalid')
    const position = { feed: e.feed, seq: e.seq, id: e.id }
    const receipt = { position, topic: { space: e.space, name: e.topic }, time: e.time, final: false, level: 'local' }
    if (this.stored.has(e.id)) return { results: [{ id: e.id, outcome: 'duplicate', receipt }] }
    const feed = this.feeds.get(e.feed) ?? { tip: 0n, id: '' }
    if (e.seq !== feed.tip + 1n || (e.prev ?? '') !== feed.id) {
      if (b.operation === undefined) throw new Refused(409, 'conflict')
      return { results: [{ id: e.id, outcome: 'refused', code: 'conflict', prepared: this.#prepare(a, { ...b, device: e.device }) }] }
    }
    this.stored.set(e.id, raw)
    this.feeds.set(e.feed, { tip: e.seq, id: e.id })
    if (b.idempotency !== undefined) this.receipts.set(String(b.idempotency), receipt)
    if (this.several > 0) this.several--
    if (this.void-- > 0) {
      const reason = { domain: 'kernel', rule: 'cut', text: 'the feed was cut', remedy: 'ask' }
      return { results: [{ id: e.id, outcome: 'void', code: 'refused', error: reason.text, reason, receipt }] }
    }
    if (a.query.get('wait') === 'final') return { results: [{ id: e.id, outcome: 'committed', receipt, code: 'timeout', error: 'not final yet' }] }
    return { results: [{ id: e.id, outcome: 'committed', receipt }] }
  }

  /** Puts another record of the same device on a feed, as another program with the same key would. */
  usurp(feed: string): void {
    const f = this.feeds.get(feed)!
    this.feeds.set(feed, { tip: f.tip + 1n, id: toHex(crypto.getRandomValues(new Uint8Array(32))) })
  }

  async #stream(a: Asked, res: ServerResponse): Promise<void> {
    this.#whose(a)
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(': hello\n\n')
    const after = a.headers['last-event-id'] ?? a.query.get('after')
    let sent = 0
    if (this.expire-- > 0) {
      this.tokens.clear()
      return void res.end('event: problem\ndata: {"code":"unauthenticated","status":401,"detail":"over"}\n\n')
    }
    for (const e of this.events.slice(this.events.findIndex((x) => x.cursor === after) + 1)) {
      res.write(`id: ${e.cursor}\r\ndata: ${JSON.stringify(e).replace(',', ',\r\ndata: ')}\r\n\r\n`)
      if (this.cut > 0 && ++sent >= this.cut) {
        await new Promise((ok) => setTimeout(ok, 20)) // for what was written to arrive
        return void res.destroy()
      }
    }
    if (this.ends) res.end('event: end\ndata: {}\n\n')
  }
}
