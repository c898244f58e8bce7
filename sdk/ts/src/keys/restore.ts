/** A member again, from nothing but the phrase: on a new device, with the next key in charge. */
import { ICNError } from '../error.js'
import { fromBase64, type Key, toBase64, toHex } from '../record/bytes.js'
import { didOf } from '../record/did.js'
import { publicKey, signWithSeed } from '../record/ed25519.js'
import { askMessage, type Auth, parseLog, rotate } from '../record/keylog.js'
import { generateDevice } from './device.js'
import type { Phrase } from './phrase.js'
import { empty, type KeyStore, type Member } from './store.js'

const mostKeys = 64 // in charge one after the other: a log has no more events

export interface RestoreOptions {
  /** Whether devices of before may go on signing, as second ones. Default false: they are taken out, since who has lost one does not know who has it. */
  keepDevices?: boolean
}

/** What is needed of a client: `new ICNClient({ baseUrl })` will do. */
export interface LogSource {
  call(operation: string, input: object): unknown
}

/**
 * Makes a device key, and lets it in as the member's primary device: the next key of the phrase takes charge, as any reader of the log can verify. The log is
 * asked for with the root key's signature, and verified. The keys of the phrase are wiped. The store keeps the member; then log in and call
 * `client.key.publish({ space })` for each space: its registrar follows when the witnesses hold that final.
 */
export async function restoreMember(store: KeyStore, phrase: Phrase, node: LogSource, options: RestoreOptions = {}): Promise<Member> {
  await empty(store)
  const log = await ownLog(phrase, node)
  const before = parseLog(log)
  const { did } = before
  const n = inCharge(phrase, before)
  const [seed, next] = [phrase.seed(n + 1), phrase.seed(n + 2)]
  try {
    const device = await generateDevice(store.extractable)
    const others = before.devices.map((d) => d.key)
    const demoted = options.keepDevices ? before.devices.filter((d) => d.role === 'primary').map((d) => ({ key: d.key, role: 'secondary' as const })) : []
    const auth = rotate(log, seed, publicKey(next), [{ key: device.key, role: 'primary' }, ...demoted], options.keepDevices ? [] : others, device.key)
    const member: Member = { did, device, auth, fresh: true }
    await store.setMember(member)
    return member
  } finally {
    seed.fill(0)
    next.fill(0)
  }
}

/** The newest key event log that the node knows of the DID that starts with the phrase: asked for with the root key's signature, and verified. */
export async function ownLog(phrase: Phrase, node: LogSource): Promise<Uint8Array> {
  const root = phrase.seed(0)
  const now = Date.now()
  const did = didOf(publicKey(root))
  let signature: Uint8Array
  try {
    signature = signWithSeed(root, askMessage(did, now))
  } finally {
    root.fill(0)
  }
  const { log } = (await node.call('key.own', { did, time: now, signature: toBase64(signature) })) as { log: string }
  const bytes = fromBase64(log)
  const of = parseLog(bytes).did
  if (of !== did) throw new ICNError('mismatch', `keys: the node gave the key event log of ${of}`, { op: 'keys' })
  return bytes
}

/** Which key of the phrase is in charge. */
export function inCharge(phrase: Phrase, log: Pick<Auth, 'key' | 'did'>): number {
  for (let n = 0; n < mostKeys; n++) {
    const seed = phrase.seed(n)
    const key: Key = toHex(publicKey(seed))
    seed.fill(0)
    if (key === log.key) return n
  }
  const text = `no key of this phrase is in charge of ${log.did}`
  throw new ICNError('refused', `keys: ${text}`, {
    op: 'keys', reason: { domain: 'keys', rule: 'wrong-phrase', text, remedy: 'take the phrase of this member, the newest one if there was a recovery' },
  })
}
