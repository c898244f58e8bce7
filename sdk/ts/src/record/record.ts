/** Records: how they are encoded, named, signed and read. docs/protocol.md, section 3. */
import { sha256 } from '@noble/hashes/sha2'
import { compare, concat, type DID, fromHex, type Hash, type Key, toHex, utf8 } from './bytes.js'
import { decode, encode, Fields, FormatError, type Value } from './cbor.js'
import { verify } from './ed25519.js'
import { parseAuth } from './keylog.js'

/** Sizes in bytes, unless said otherwise. */
export const maxSize = { envelope: 64 << 10, body: 48 << 10, auth: 48 << 10, name: 64, /** count */ deps: 128 } as const

const tag = 'icn-record'
const none = new Uint8Array(0)
const overhead = 80 // of an envelope over its signed bytes

/** The place and the content of one record. */
export interface Position {
  feed: Hash
  /** From 1. */
  seq: bigint
  id: Hash
}

/** What is signed. */
export interface Draft {
  /** Which rules; 1. */
  version: number
  /** The id of the space; undefined when the record founds one. */
  space?: Hash
  topic: string
  device: Key
  seq: bigint
  /** The id at seq-1; undefined at seq 1. */
  prev?: Hash
  /** See Timestamp. */
  time: bigint
  deps: Position[]
  kind: string
  /** At seq 1 the auth that certifies the device, empty later. */
  auth: Uint8Array
  body: Uint8Array
}

/** A record: a draft, and what its bytes make it. */
export interface SignedRecord extends Draft {
  space: Hash
  id: Hash
  feed: Hash
  /** Whether it founds its space. */
  founds: boolean
  /** Who the device signs for: known here at seq 1 only. */
  author?: DID
  /** The bytes that are hashed and signed. */
  unsigned: Uint8Array
}

/** A record with its signature. */
export interface Envelope extends SignedRecord {
  signature: Uint8Array
}

/** The chain of one device in one topic. */
export function feedId(space: Hash, topic: string, device: Key): Hash {
  return toHex(sha256(concat(utf8('icn-feed\0'), fromHex(space, 32), fromHex(device, 32), utf8(topic))))
}

/** Encodes the bytes to sign. */
export function encodeUnsigned(d: Draft): SignedRecord {
  const unsigned = encode([
    tag, d.version, d.space === undefined ? none : fromHex(d.space, 32), d.topic, fromHex(d.device, 32), d.seq, d.prev === undefined ? none : fromHex(d.prev, 32), d.time,
    d.deps.map((p): Value => [fromHex(p.feed, 32), p.seq, fromHex(p.id, 32)]), d.kind, d.auth, d.body,
  ])
  return decodeUnsigned(unsigned)
}

/** Joins the bytes and a signature over them. */
export function seal(unsigned: Uint8Array, signature: Uint8Array): Uint8Array {
  if (signature.length !== 64) throw new FormatError('malformed', `signature of ${signature.length} bytes: want 64`, 'record')
  return encode([unsigned, signature])
}

/** Reads an envelope: bounds, form, at seq 1 the whole auth; not the signature, which verifyEnvelope checks. */
export function decodeEnvelope(raw: Uint8Array): Envelope {
  if (raw.length > maxSize.envelope) throw new FormatError('too-large', `envelope of ${raw.length} bytes: at most ${maxSize.envelope}`, 'record')
  const f = new Fields(decode(raw), 'record', 2)
  const unsigned = f.bytes()
  const signature = f.bytes()
  if (signature.length !== 64) throw new FormatError('malformed', `signature of ${signature.length} bytes: want 64`, 'record')
  return { ...decodeUnsigned(unsigned), signature }
}

/** Whether the device signed it. */
export function verifyEnvelope(e: Envelope): boolean {
  return verify(fromHex(e.device), e.unsigned, e.signature)
}

/** Reads signed bytes, with all that docs/protocol.md says of their form. */
export function decodeUnsigned(unsigned: Uint8Array): SignedRecord {
  if (unsigned.length + overhead > maxSize.envelope) throw new FormatError('too-large', `record of ${unsigned.length} bytes`, 'record')
  const f = new Fields(decode(unsigned), 'record', 12)
  const t = f.text()
  const version = Number(f.uint(0xffffn))
  const space = f.bytes()
  const topic = f.text()
  const device = f.bytes()
  const seq = f.uint()
  const prev = f.bytes()
  const time = f.uint()
  const depParts = f.array()
  const kind = f.text()
  const auth = f.bytes()
  const body = f.bytes()

  check(t === tag, `tag: want ${tag}`)
  check(version > 0, 'version 0: versions start at 1')
  check(space.length === 0 || space.length === 32, `space of ${space.length} bytes: want 32`)
  check(space.length > 0 || seq === 1n, `seq ${seq}: a record that founds a space has seq 1`)
  check(isName(topic), 'topic: want 1 to 64 of a-z 0-9 - _ . :')
  check(isName(kind), 'kind: want 1 to 64 of a-z 0-9 - _ . :')
  check(device.length === 32, `device key of ${device.length} bytes: want 32`)
  check(seq > 0n, 'seq 0: sequence numbers start at 1')
  check(prev.length === (seq === 1n ? 0 : 32), `prev of ${prev.length} bytes at seq ${seq}`)
  check(seq === 1n ? auth.length > 0 && auth.length <= maxSize.auth : auth.length === 0, `auth of ${auth.length} bytes at seq ${seq}`)
  if (body.length > maxSize.body) throw new FormatError('too-large', `body of ${body.length} bytes: at most ${maxSize.body}`, 'record')
  if (depParts.length > maxSize.deps) throw new FormatError('too-large', `${depParts.length} deps: at most ${maxSize.deps}`, 'record')
  let last: Uint8Array | undefined
  const deps = depParts.map((v): Position => {
    const p = new Fields(v, 'record', 3)
    const feed = p.bytes()
    const at = p.uint()
    const id = p.bytes()
    check(feed.length === 32 && id.length === 32 && at > 0n, 'dep: want a feed of 32 bytes, a seq from 1 and an id of 32 bytes')
    check(!last || compare(last, feed) < 0, 'deps must be in strictly ascending order of feed')
    last = feed
    return { feed: toHex(feed), seq: at, id: toHex(id) }
  })
  const id = toHex(sha256(unsigned))
  const founds = space.length === 0
  const r: SignedRecord = {
    version, space: founds ? id : toHex(space), topic, device: toHex(device), seq, time, deps, kind, auth, body, id, founds, feed: '', unsigned,
    ...(seq > 1n ? { prev: toHex(prev) } : {}),
  }
  r.feed = feedId(r.space, topic, r.device)
  if (seq === 1n) {
    const a = parseAuth(auth)
    check(a.device === r.device, `auth certifies device ${a.device}, the record is by ${r.device}`)
    r.author = a.did
  }
  return r
}

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new FormatError('malformed', otherwise, 'record')
}

function isName(s: string): boolean {
  return /^[a-z0-9\-_.:]{1,64}$/.test(s)
}
