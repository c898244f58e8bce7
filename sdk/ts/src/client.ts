import { Auth, type LoginOptions, type Session } from './auth.js'
import { indexKinds, type KindSpec } from './describe.js'
import { ICNError } from './error.js'
import { kinds } from './gen/kinds.js'
import { type Operations, table } from './gen/operations.js'
import { HTTP, type HTTPOptions, type HTTPRequest } from './http.js'
import type { KeyStore, Signed } from './keys/store.js'
import { pages } from './page.js'
import { letIn, type LetIn, type LetInOptions, pairDevice, type Pairing, type PairingShown, type PairOptions, showPairing } from './pair.js'
import { type DID, fromBase64, randomName } from './record/bytes.js'
import type { SocketClass } from './socket.js'
import { follow } from './stream.js'
import { type Confirm, Writer } from './write.js'

export interface ICNClientOptions extends HTTPOptions {
  /** The member's keys: an IndexedDBKeyStore in a browser. Without them nobody is logged in and nothing is signed. */
  keys?: KeyStore | undefined
  /** A token that was got elsewhere, in the place of logging in with keys. */
  token?: string | undefined
  /** The DID of the node, when it is known beforehand: no other is logged in to. */
  node?: DID | undefined
  /** Whom the node's tokens are for, when that is neither its address nor its DID. */
  audience?: string | undefined
  /** Asked before each signature; false signs nothing. Needed where a node fills in what the input does not say, such as a member's number. */
  confirm?: Confirm | undefined
  /** How streams come: as server-sent events (default), or by WebSocket, for proxies that hold events back. A lost WebSocket is noticed later. */
  transport?: 'sse' | 'ws' | undefined
  /** The platform's WebSocket; default: the global one, which Node has from version 22 on. */
  webSocket?: SocketClass | undefined
  /** Kinds of records beside those that this package knows, for apps of your own. Never take them from the node that asks you to sign. */
  kinds?: readonly KindSpec[] | undefined
}

export interface CallOptions {
  signal?: AbortSignal | undefined
  /** Milliseconds that one attempt may take. */
  timeout?: number | undefined
}

/** How far a write must have got before it is answered. */
export type WaitLevel = 'local' | 'final' | `replicated(${number})`

export interface WriteOptions extends CallOptions {
  /** Names the request, 1 to 64 characters: the same name again gets the first answer. Default: one drawn at random. */
  idempotency?: string | undefined
  wait?: WaitLevel | undefined
  /** In the place of the client's. */
  confirm?: Confirm | undefined
}

/** The operations, and beside those of auth the login. */
export type Namespaces = Omit<Operations, 'auth'> & { auth: Auth & (Operations extends { auth: infer A } ? A : unknown) }

export interface ICNClient extends Omit<Namespaces, 'auth'> {}

/**
 * A client of one node: `client.ledger.transfer({...})`, one namespace for each first word of the operations. It logs in by itself with the device key,
 * renews the login, repeats what may be repeated, and signs what has to be signed, after it has looked at it.
 */
export class ICNClient {
  /** The login, and the operations of that name. */
  readonly auth: Namespaces['auth']
  readonly #options: ICNClientOptions
  readonly #http: HTTP
  readonly #writer: Writer | undefined

  constructor(options: ICNClientOptions) {
    this.#options = options
    this.#http = new HTTP(options)
    this.auth = new Auth(this.#http, options, options.keys) as Namespaces['auth']
    if (options.keys) {
      this.#writer = new Writer(options.keys, indexKinds([...kinds, ...(options.kinds ?? [])]), (op, path, body, { wait, signal }) =>
        this.#authorized({ op, method: 'POST', path, body, query: { wait }, repeatable: true, signal, timeout: wait ? 90_000 : undefined }),
        async (id) => fromBase64((await this.record.explain({ id })).signed ?? ''),
      )
    }
    for (const name of Object.keys(table)) this.#mount(name)
  }

  /** Calls an operation by its name: for what the types do not know. Lists give Pages, streams async iterables. */
  call(operation: string, input: object = {}, options: WriteOptions = {}): unknown {
    const row = Object.hasOwn(table, operation) ? table[operation] : undefined
    if (!row) throw new ICNError('not-found', `${operation}: no such operation`, { op: operation })
    const [method, path, flags, entries] = row
    const values = input as Record<string, unknown>
    if (flags.includes('s')) {
      const sockets = method === 'GET' && this.#options.transport === 'ws' ? this.#options.webSocket ?? (globalThis.WebSocket as SocketClass | undefined) : undefined
      return follow(this.#http, (stale) => this.#withToken(request(operation, method, path, values, options, true), stale), options.signal, sockets)
    }
    if (flags.includes('l')) {
      return pages(entries!, values.cursor as string | undefined, async (cursor) =>
        this.#authorized(request(operation, method, path, cursor === undefined ? values : { ...values, cursor }, options, true)))
    }
    const writer = this.#options.token === undefined ? this.#writer : undefined
    const sign = (w: Writer): Promise<unknown> =>
      w.write({
        operation, input: values, idempotency: options.idempotency, wait: options.wait, several: flags.includes('+'),
        confirm: options.confirm ?? this.#options.confirm, signal: options.signal,
      })
    if (writer && /[1+]/.test(flags)) return sign(writer)
    return this.#unary(() => request(operation, method, path, values, options, method === 'GET'), flags.includes('w') ? options : undefined).catch((err: unknown) => {
      // An operation that has come to sign since this was generated: the node has done nothing, since the key is here.
      if (writer && err instanceof ICNError && err.reason?.rule === 'key-elsewhere') return sign(writer)
      throw err
    })
  }

  async #unary(make: () => HTTPRequest, write: WriteOptions | undefined): Promise<unknown> {
    const req = make()
    if (!write) return this.#authorized(req)
    // With a key a repetition gets the first answer, so that it is safe to repeat.
    const headers = { 'idempotency-key': write.idempotency ?? randomName() }
    return this.#authorized({ ...req, headers, query: { ...req.query, wait: write.wait }, repeatable: true })
  }

  /**
   * On a new device, whose key store is empty: makes its key and asks to be let in by a device that is logged in. Show `payload` as a QR code and `code`
   * beside it, then wait for `done`. The device is a second one: it pays from what the primary device sets aside for it.
   */
  async pairDevice(options: PairOptions = {}): Promise<Pairing> {
    return pairDevice(this, this.#keys(), options)
  }

  /** On a device that is logged in: who asks, by the payload that its camera has read. Signs nothing. */
  async showPairing(payload: string): Promise<PairingShown> {
    return showPairing(this, this.#keys(), payload)
  }

  /**
   * On a device that is logged in: has the key in charge, from the phrase, certify the new device, and lets it in; `allot` sets an amount aside for it. An
   * error leaves what was done before it, and the same call again goes on from there. `reason.rule` of what is refused: `wrong-code` (three of them end the
   * pairing), `wrong-phrase`, `no-pairing` (expired, changed, or of before the node's start), `other-node`.
   */
  async letIn(payload: string, options: LetInOptions): Promise<LetIn> {
    return letIn(this, this.#keys(), payload, options)
  }

  #keys(): KeyStore {
    if (this.#options.keys) return this.#options.keys
    throw new ICNError('invalid', 'pairing: the client has no key store: give ICNClient `keys`', { op: 'auth.pair' })
  }

  /** Records that were signed and whose answer is not known: the next write sends them again first, as they are. */
  async pending(): Promise<Signed[]> {
    return (await this.#options.keys?.pending()) ?? []
  }

  /** Sends those now, and returns how many they were. */
  async settle(options: CallOptions = {}): Promise<number> {
    return (await this.#writer?.settle(options.signal)) ?? 0
  }

  #mount(name: string): void {
    const words = name.split('.').map((w) => w.replace(/-([a-z])/g, (_, c: string) => c.toUpperCase()))
    const last = words.pop()!
    let at = this as unknown as Record<string, unknown>
    for (const w of words) at = (Object.hasOwn(at, w) ? at[w] : (at[w] = {})) as Record<string, unknown>
    at[last] = (input?: object, options?: WriteOptions) => this.call(name, input, options)
  }

  /** Adds the token; another one when that of `stale` was not taken. */
  async #withToken(req: HTTPRequest, stale?: HTTPRequest): Promise<HTTPRequest> {
    const token = this.#options.token ?? (await this.auth.token(req.signal, stale?.headers?.authorization?.slice('Bearer '.length)))
    return token === undefined ? req : { ...req, headers: { ...req.headers, authorization: `Bearer ${token}` } }
  }

  /** Sends a request with the token, and once more with a new one when the node does not take it. */
  async #authorized<T>(req: HTTPRequest): Promise<T> {
    const first = await this.#withToken(req)
    try {
      return (await this.#http.json(first)) as T
    } catch (err) {
      if (!(err instanceof ICNError) || err.kind !== 'unauthenticated' || first.headers?.authorization === undefined || this.#options.token !== undefined) throw err
      return (await this.#http.json(await this.#withToken(req, first))) as T // refused before anything was done: any request may be sent again
    }
  }
}

/** Puts the input where the operation has it: in the path, in the query, or in the body. */
function request(op: string, method: string, path: string, input: Record<string, unknown>, options: CallOptions, repeatable: boolean): HTTPRequest {
  const rest = { ...input }
  const full = path.replace(/\{([^}.]+)(?:\.\.\.)?\}/g, (_, name: string) => {
    const v = rest[name]
    if (v === undefined || v === null || v === '') throw new ICNError('invalid', `${op}: ${name} is missing`, { op })
    delete rest[name]
    return encodeURIComponent(String(v))
  })
  const inQuery = method === 'GET' || method === 'DELETE'
  return {
    op, method, path: full, repeatable, signal: options.signal, timeout: options.timeout,
    ...(inQuery ? { query: rest } : { body: rest }),
  }
}

export type { LoginOptions, Session }
