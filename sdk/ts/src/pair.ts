/** A new device is let in by one that is logged in: a text for its camera, six digits, and the phrase. docs/protocol.md, section 11.2. */
import { sha256 } from '@noble/hashes/sha2'
import { type Auth, checkLogin, type Place, type Session, type Tokens } from './auth.js'
import { ICNError } from './error.js'
import type { LedgerAllotOut, SessionApproveOut, SessionClaimOut, SessionPairingOut, SessionPairOut } from './gen/operations.js'
import { sleep } from './http.js'
import { generateDevice, sign } from './keys/device.js'
import { updateAuth } from './keys/member.js'
import type { Phrase } from './keys/phrase.js'
import { inCharge, ownLog } from './keys/restore.js'
import { empty, type KeyStore, type Member } from './keys/store.js'
import { type DID, equal, fromBase64, type Hash, type Key, toBase64, toHex } from './record/bytes.js'
import { decode, Fields } from './record/cbor.js'
import { changeDevices, parseAuth, parseLog, shownFor } from './record/keylog.js'

export interface PairOptions {
  /** What the device calls itself, at most 64 bytes: who lets it in sees it, and the list of sessions. */
  label?: string
  signal?: AbortSignal
}

/** What a new device shows until it is let in. */
export interface Pairing {
  /**
   * The text of a QR code, `icn-login:...`, at most 1,024 characters: the node, its audience, and the device's public key and label under the node's
   * mark. Nothing in it is secret.
   */
  payload: string
  /** Six digits to show as text. Who lets the device in reads them from this screen and types them: they are not in the payload. */
  code: string
  device: Key
  /** Until when it holds: five minutes. */
  expires: Date
  /** Waits until the device is let in, keeps its key with the key event log, and resolves logged in, or with the error that says why not. */
  done(options?: { signal?: AbortSignal }): Promise<Session>
}

/** Who asks to be let in, for a person to look at. */
export interface PairingShown {
  /** The device, by the payload itself: a node that says another is caught. */
  device: Key
  /** What it calls itself: anybody can call a device anything. */
  label: string
  /** Whose device it becomes: yours. */
  did: DID
  expires: Date
  /** For `client.auth.approve({ pairing, deny: true })`, which turns it away. */
  pairing: string
}

export interface LetInOptions {
  /** The six digits from the new device's screen, never from the message that the payload came with. */
  code: string
  /** The recovery phrase: its key that is in charge certifies the device, and is wiped. The caller wipes the phrase. */
  phrase: Phrase
  /** What the device may pay, in minor units, once the witnesses hold it final. Only the primary device can set it aside. */
  allot?: { currency: string; amount: number; space?: Hash }
  /** What its login is to be good for, none beyond your own; default: the usual ones. */
  scopes?: string[]
  /** The id of a space: the login is good there only. */
  within?: Hash
}

/** A device that was let in. */
export interface LetIn {
  device: Key
  scopes: string[]
  allotted?: LedgerAllotOut
}

/** What is needed of a client. */
export interface Pairer {
  readonly auth: Auth
  call(operation: string, input: object, options?: { signal?: AbortSignal | undefined; idempotency?: string }): unknown
}

const every = 2000 // milliseconds between two claims
const op = 'auth.pair'

function refuse(rule: string, text: string, remedy: string): never {
  throw new ICNError('refused', `pairing: ${text}`, { op, reason: { domain: 'session', rule, text, remedy } })
}

function mismatch(text: string): never {
  throw new ICNError('mismatch', `pairing: the node ${text}`, { op })
}

const expired = (): never => refuse('no-pairing', 'it has expired, or a clock is wrong', 'start again on the new device')

interface Payload extends Place {
  /** As the node has sealed it. */
  sealed: Uint8Array
  nonce: string
  device: Key
  label: string
  expires: number
}

/** Reads a payload. Whether the node has made it only the node knows. */
function parse(payload: string): Payload {
  const [, text] = /^icn-login:([\w-]{1,1014})$/.exec(payload.trim()) ?? []
  try {
    const all = fromBase64((text ?? '').replace(/-/g, '+').replace(/_/g, '/').padEnd(Math.ceil((text ?? '').length / 4) * 4, '='))
    const bytes = all.subarray(0, -4)
    if (!equal(sha256(bytes).subarray(0, 4), all.subarray(-4))) throw new Error('the checksum')
    const link = new Fields(decode(bytes), 'pairing', 4)
    link.uint(1n)
    const [node, audience, sealed] = [link.text(), link.text(), link.bytes()]
    const q = new Fields(decode(sealed.subarray(0, -16)), 'pairing', 4) // the node's mark comes after it
    return { node, audience, sealed, nonce: toHex(q.bytes()), device: toHex(q.bytes()), label: q.text(), expires: Number(q.uint(1n << 53n)) }
  } catch (cause) {
    throw new ICNError('invalid', 'pairing: want icn-login:... as the new device shows it: scan it again, all of it', { op, cause })
  }
}

/** Makes a device key and asks to be let in with it. Nothing is kept before `done`. */
export async function pairDevice(client: Pairer, keys: KeyStore, { label, signal }: PairOptions = {}): Promise<Pairing> {
  await empty(keys)
  const device = await generateDevice(keys.extractable)
  const asked = (await client.call(op, { device: device.key, label }, { signal })) as SessionPairOut
  const message = fromBase64(asked.message ?? '')
  const m = checkLogin(message, '', device.key, client.auth.site, Date.now(), 'ICN/1/login-pair')
  const p = parse(asked.uri)
  // What is shown is signed by the member's key: it has to be this device, here.
  const same = p.device === device.key && p.node === m.node && p.audience === m.audience && p.nonce === m.nonce && p.expires === m.expires
  if (!same || toBase64(p.sealed) !== asked.pairing) mismatch('would have another device let in')

  const claim = async (signal?: AbortSignal): Promise<SessionClaimOut> => {
    const input = { pairing: asked.pairing, secret: asked.secret, signature: toBase64(await sign(device, message)) }
    for (;;) {
      if (Date.now() >= p.expires) expired()
      let out: SessionClaimOut | undefined
      try {
        out = (await client.call('auth.claim', input, { signal })) as SessionClaimOut
      } catch (err) {
        if (!(err instanceof ICNError) || !err.transient) throw err // the same answer comes again
      }
      if (out?.state === 'refused') refuse('turned-away', 'the device was turned away, or wrong digits were typed', 'start again on the new device')
      if (out?.state === 'granted') return out
      await sleep(every, signal)
    }
  }
  const done = async (options: { signal?: AbortSignal } = {}): Promise<Session> => {
    const { auth: text, token } = await claim(options.signal)
    const auth = fromBase64(text || '')
    const { did, device: of } = parseAuth(auth)
    if (of !== device.key || (token && (token.did !== did || token.device !== of))) mismatch('gave what is of another device')
    await empty(keys) // still
    await keys.setMember({ did, device, auth, fresh: true })
    return token ? client.auth.adopt(token as Tokens, m, label) : client.auth.login(label === undefined ? {} : { label }) // the first answer was lost
  }
  return { payload: asked.uri, code: asked.code, device: device.key, expires: new Date(p.expires), done }
}

/** Looks at a payload: that it is of the node where this client is logged in, in force, and what the node says of it. */
async function look(client: Pairer, keys: KeyStore, payload: string, code?: string): Promise<{ p: Payload; member: Member }> {
  const p = parse(payload)
  await client.auth.token()
  const [member, here] = [await keys.member(), client.auth.place]
  if (!member || !here) throw new ICNError('unauthenticated', 'pairing: only a device that is logged in with its key lets another one in', { op })
  if (p.node !== here.node || p.audience !== here.audience) {
    refuse('other-node', `it is for ${JSON.stringify(p.audience)}, not for ${JSON.stringify(here.audience)}`, 'log in there, or start again on the new device')
  }
  if (Date.now() >= p.expires) expired()
  const said = (await client.call('auth.pairing', { pairing: toBase64(p.sealed), code })) as SessionPairingOut
  if (said.device !== p.device) mismatch('speaks of another device')
  return { p, member }
}

/** Says who asks to be let in. */
export async function showPairing(client: Pairer, keys: KeyStore, payload: string): Promise<PairingShown> {
  const { p, member } = await look(client, keys, payload)
  return { device: p.device, label: p.label, did: member.did, expires: new Date(p.expires), pairing: toBase64(p.sealed) }
}

/** Lets a device in. The same call again does nothing twice. */
export async function letIn(client: Pairer, keys: KeyStore, payload: string, o: LetInOptions): Promise<LetIn> {
  const { p, member } = await look(client, keys, payload, o.code) // wrong digits may mean another device: nothing is certified before
  inCharge(o.phrase, parseAuth(member.auth))
  const log = await newest(client, member, o.phrase)
  const auth = certified(log, o.phrase, p.device)
  await updateAuth(keys, shownFor(auth, member.device.key)) // kept before anybody has it: the next change goes on from here
  const { scopes } = (await client.call('auth.approve', { pairing: toBase64(p.sealed), code: o.code, auth: toBase64(auth), scopes: o.scopes, within: o.within })) as SessionApproveOut
  const device = p.device
  const done: LetIn = { device, scopes: scopes ?? [] }
  if (!o.allot) return done
  const allotted = (await client.call('ledger.allot', { ...o.allot, device }, { idempotency: `pairing-${p.nonce}` })) as LedgerAllotOut
  return { ...done, allotted }
}

/** The longest log of the member: the one kept here, or one that goes on from it, which the node has. */
async function newest(client: Pairer, member: Member, phrase: Phrase): Promise<Uint8Array> {
  let log: Uint8Array
  try {
    log = await ownLog(phrase, client)
  } catch (err) {
    if (err instanceof ICNError && err.kind === 'not-found') return member.auth // nothing was written yet that shows it
    throw err
  }
  const [mine, theirs] = [parseAuth(member.auth).events, parseLog(log).events]
  if (!mine.every((e, i) => i >= theirs.length || e.id === theirs[i]!.id)) {
    throw new ICNError('conflict', 'keys: the node has another branch of your key event log: somebody has written two', { op: 'keys' })
  }
  return theirs.length > mine.length ? log : member.auth
}

/** The log with the device in it, by the key in charge. */
function certified(log: Uint8Array, phrase: Phrase, device: Key): Uint8Array {
  const now = parseLog(log)
  if (now.devices.some((d) => d.key === device)) return shownFor(log, device) // the call is made again
  const seed = phrase.seed(inCharge(phrase, now))
  try {
    return changeDevices(log, seed, [{ key: device, role: 'secondary' }], [], device)
  } finally {
    seed.fill(0)
  }
}
