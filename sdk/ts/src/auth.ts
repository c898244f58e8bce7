/** Logging in: the node gives a message, the device signs it, the node gives a token. The message is looked at before it is signed. */
import { ICNError } from './error.js'
import type { HTTP } from './http.js'
import { sign } from './keys/device.js'
import type { KeyStore } from './keys/store.js'
import { type DID, fromBase64, type Hash, type Key, toBase64, toHex } from './record/bytes.js'
import { decode, Fields } from './record/cbor.js'
import { parseDID } from './record/did.js'

/** What is asked for when logging in. */
export interface LoginOptions {
  /** What the token is to be good for; default: what members usually need. */
  scopes?: string[]
  /** The id of a space: the token is good there only. */
  within?: Hash
  /** What this device is called in your list of sessions. */
  label?: string
  signal?: AbortSignal
}

/** A login, without its secrets. */
export interface Session {
  did: DID
  device: Key
  scopes: string[]
  /** The id, as auth.sessions lists it; none for who is to join yet, and logs in again after that. */
  session?: string | undefined
}

/** A login as the node gives it, with its secrets. */
export interface Tokens extends Session {
  access_token: string
  refresh_token?: string
  expires_in: number
}

/** For whom and where a login message may be. */
export interface LoginSite {
  baseUrl: string
  /** The DID of the node, when it is known beforehand. */
  node?: DID | undefined
  /** Whom tokens are for, when that is neither the address nor the node. */
  audience?: string | undefined
}

/** Where tokens are good: what a message to sign and a pairing name. */
export interface Place {
  node: DID
  audience: string
}

/** What a device signs to log in, or to be let in by another one. */
export type Purpose = 'ICN/1/login' | 'ICN/1/login-pair'

const early = 30_000 // milliseconds before its end that a token is renewed
const longest = 15 * 60_000 // milliseconds that a message to sign may hold

/**
 * Refuses a message to sign that is not a login here, now, of this device: what somebody signs for one site would let another in at the next.
 */
export function checkLogin(message: Uint8Array, did: DID, device: Key, site: LoginSite, now: number, purpose: Purpose = 'ICN/1/login'): Place & { nonce: string; expires: number } {
  const bad = (why: string): never => {
    throw new ICNError('mismatch', `login: ${why}: nothing was signed`, { op: 'auth.login' })
  }
  let f: Fields
  try {
    f = new Fields(decode(message), 'login', 7)
  } catch (err) {
    return bad(`the message to sign has another form (${err instanceof Error ? err.message : String(err)})`)
  }
  if (f.text() !== purpose) bad('the message to sign is for something else than a login')
  const node = f.text()
  const audience = f.text()
  const who = f.text()
  const key = f.bytes()
  const nonce = f.bytes()
  const expires = Number(f.uint(1n << 53n))
  if (who !== did) bad(`the message to sign is for ${who}`)
  if (toHex(key) !== device) bad('the message to sign is for another device')
  if (nonce.length !== 16 || nonce.every((x) => x === 0)) bad('the message to sign is not one of a kind')
  if (expires <= now) bad("the message to sign has expired, or this device's clock is ahead")
  if (expires > now + longest) bad("the message to sign holds too long, or this device's clock is behind")
  if (node !== '') parseDID(node)
  if (site.node !== undefined && node !== site.node) bad(`the message to sign is for the node ${node}, not ${site.node}`)
  const url = new URL(site.baseUrl)
  const wanted = [site.audience ?? url.origin, site.audience === undefined ? site.node : undefined]
  // A node that was not told its address says its DID, which says nothing to who does not know it. On this very machine nobody stands between.
  if (site.audience === undefined && isLoopback(url.hostname)) wanted.push(node)
  if (audience === '' || !wanted.includes(audience)) {
    bad(`the message to sign is for ${JSON.stringify(audience.slice(0, 128))}, not for ${url.origin}; if that is right, give ICNClient the node's DID (node) or its audience`)
  }
  return { node, audience, nonce: toHex(nonce), expires }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** The login of a client: lazily made, renewed before it ends, once for all calls that wait for it. */
export class Auth {
  #tokens: Tokens | undefined
  #until = 0 // Unix milliseconds
  #renewing: Promise<Tokens> | undefined
  #options: LoginOptions = {}
  #left = false // logged out: not logged in again without being asked
  #place: Place | undefined

  constructor(
    private readonly http: HTTP,
    readonly site: LoginSite,
    private readonly keys: KeyStore | undefined,
    private readonly now: () => number = Date.now,
  ) {}

  /** The login in force, undefined when there is none. */
  get session(): Session | undefined {
    const t = this.#tokens
    return t && { did: t.did, device: t.device, scopes: t.scopes, session: t.session }
  }

  /** Where this client has logged in last, by what its device has signed. */
  get place(): Place | undefined {
    return this.#place
  }

  /** Takes the login that another device has granted to this one. */
  adopt(tokens: Tokens, place: Place, label?: string): Session {
    this.#options = label === undefined ? {} : { label }
    this.#left = false
    this.#place = place
    this.#keep(tokens)
    return this.session!
  }

  /** Logs in with the device key. It is not needed before other calls, which log in by themselves; it is where scopes and label are said. */
  async login(options: LoginOptions = {}): Promise<Session> {
    const { signal, ...kept } = options
    this.#options = kept
    this.#left = false
    this.#forget()
    await this.#renew(signal)
    return this.session!
  }

  /** Ends the session, at the node if it can be reached, and here in any case. */
  async logout(signal?: AbortSignal): Promise<void> {
    const t = this.#tokens
    this.#left = true
    this.#forget()
    if (!t?.session) return
    await this.http.json({
      op: 'auth.revoke', method: 'POST', path: '/auth/revoke', body: { session: t.session }, headers: { authorization: `Bearer ${t.access_token}` }, repeatable: true, signal,
    })
  }

  /** The access token to send; undefined when nobody can log in. `stale` is one that the node has just refused. */
  async token(signal?: AbortSignal, stale?: string): Promise<string | undefined> {
    if (this.#tokens && this.#tokens.access_token === stale) this.#until = 0
    if (this.#tokens && this.now() < this.#until - early) return this.#tokens.access_token
    if (this.#left || !(await this.keys?.member())) return undefined
    return (await this.#renew(signal)).access_token
  }

  #forget(): void {
    this.#tokens = undefined
    this.#until = 0
  }

  /** One renewal at a time: who comes while it runs gets its outcome. One caller's giving up does not end it for the others. */
  async #renew(signal?: AbortSignal): Promise<Tokens> {
    this.#renewing ??= this.#obtain().finally(() => {
      this.#renewing = undefined
    })
    const mine = this.#renewing
    if (!signal) return mine
    return new Promise((resolve, reject) => {
      const end = (): void => reject(new ICNError('aborted', 'login: given up by the caller', { op: 'auth.login', cause: signal.reason }))
      if (signal.aborted) return end()
      signal.addEventListener('abort', end, { once: true })
      mine.then(resolve, reject).finally(() => signal.removeEventListener('abort', end))
    })
  }

  async #obtain(): Promise<Tokens> {
    const refresh = this.#tokens?.refresh_token
    if (refresh) {
      try {
        return this.#keep((await this.#post('refresh', { refresh_token: refresh }, false)) as Tokens)
      } catch (err) {
        if (!(err instanceof ICNError) || err.transient) throw err
        this.#forget() // the session is over: the device logs in anew
      }
    }
    const member = await this.keys?.member()
    if (!member) throw new ICNError('unauthenticated', 'login: there is no key on this device: createMember makes one', { op: 'auth.login' })
    const challenge = (await this.#post('challenge', { did: member.did, device: member.device.key }, true)) as { challenge: string; message: string }
    const message = fromBase64(challenge.message)
    const { node, audience } = checkLogin(message, member.did, member.device.key, this.site, this.now())
    const { scopes, within, label } = this.#options
    const tokens = (await this.#post('verify', {
      did: member.did, device: member.device.key, auth: toBase64(member.auth), challenge: challenge.challenge,
      signature: toBase64(await sign(member.device, message)), scopes, within, label,
    }, false)) as Tokens
    if (tokens.did !== member.did) throw new ICNError('mismatch', `login: the token is for ${tokens.did}`, { op: 'auth.login' })
    this.#place = { node, audience }
    return this.#keep(tokens)
  }

  #keep(t: Tokens): Tokens {
    this.#tokens = t
    this.#until = this.now() + t.expires_in * 1000
    return t
  }

  #post(what: string, body: unknown, repeatable: boolean): Promise<unknown> {
    return this.http.json({ op: `auth.${what}`, method: 'POST', path: `/auth/${what}`, body, repeatable })
  }
}
