import { ICNError } from '../error.js'
import { type DID, equal, fromHex } from '../record/bytes.js'
import { didOf } from '../record/did.js'
import { publicKey } from '../record/ed25519.js'
import { incept, parseAuth } from '../record/keylog.js'
import { generateDevice } from './device.js'
import { Phrase } from './phrase.js'
import { empty, type KeyStore, type Member } from './store.js'

/** A member who was just made. */
export interface Created {
  member: Member
  /** Show its `text` once, ask to write it down, then `wipe` it: it is stored nowhere. */
  phrase: Phrase
}

/**
 * Makes a new member on this device and keeps the device key in `store`. The root key certifies the device and is wiped; only the phrase can make it
 * again. A store that has a member is refused with `conflict`.
 */
export async function createMember(store: KeyStore, phrase: Phrase = Phrase.generate()): Promise<Created> {
  await empty(store)
  const device = await generateDevice(store.extractable)
  const root = phrase.seed(0)
  const next = phrase.seed(1)
  try {
    const auth = incept(root, publicKey(next), fromHex(device.key))
    const member: Member = { did: didOf(publicKey(root)), device, auth, fresh: true }
    await store.setMember(member)
    return { member, phrase }
  } finally {
    root.fill(0)
    next.fill(0)
  }
}

/** The DID that starts with a phrase: to check that the paper is the right one. */
export function didOfPhrase(phrase: Phrase): DID {
  const root = phrase.seed(0)
  try {
    return didOf(publicKey(root))
  } finally {
    root.fill(0)
  }
}

/**
 * Keeps a newer auth of the same device, after another device or a rotation changed the key event log. One that is of another log, shorter, or does
 * not let this device sign is refused.
 */
export async function updateAuth(store: KeyStore, auth: Uint8Array): Promise<Member> {
  const m = await store.member()
  if (!m) throw new ICNError('not-found', 'keys: the store has no member', { op: 'keys' })
  if (equal(m.auth, auth)) return m
  const before = parseAuth(m.auth)
  const after = parseAuth(auth)
  const goesOn = after.did === m.did && after.device === m.device.key && after.events.length >= before.events.length && before.events.every((e, i) => e.id === after.events[i]!.id)
  if (!goesOn) throw new ICNError('mismatch', 'keys: that is no later state of the key event log', { op: 'keys' })
  const member = { ...m, auth }
  await store.setMember(member)
  return member
}
