/** Key events: who controls a DID, and which devices sign for it. docs/protocol.md, sections 2.3 and 2.5. */
import { sha256 } from '@noble/hashes/sha2'
import { compare, concat, type DID, fromHex, type Hash, type Key, toHex, utf8 } from './bytes.js'
import { decode, encode, Fields, FormatError, type Value } from './cbor.js'
import { checkKey, didOf } from './did.js'
import { publicKey, signWithSeed, verify } from './ed25519.js'

const eventTag = 'icn-key-event'
const logTag = 'icn-key-log'
const none = new Uint8Array(0)

/** Limits of a log, as in docs/protocol.md, section 2.5. */
const max = { auth: 48 << 10, single: 1 << 10, events: 64, devices: 32, guardians: 16, homes: 8, delay: 365n * 24n, hybrid: 4 << 10 } as const

export type EventKind = 'inception' | 'devices' | 'rotation' | 'recovery'
const eventKinds: readonly EventKind[] = ['inception', 'devices', 'rotation', 'recovery']

export type Role = 'primary' | 'secondary'

export interface Device {
  key: Key
  role: Role
}

/** What an event says, as far as members see it. */
export interface KeyEvent {
  /** SHA-256 of the event's bytes. */
  id: Hash
  kind: EventKind
  /** The key in charge from here on. */
  key: Key
  /** The commitment to the next key; undefined when there is none, and at a change of devices. */
  next?: Hash
}

/** An auth, verified: what the first record of a feed carries. */
export interface Auth {
  did: DID
  /** The device it is shown for. */
  device: Key
  role: Role
  events: KeyEvent[]
  /** The key in charge at the end. */
  key: Key
  /** Devices that may sign at the end, ascending by key. */
  devices: Device[]
  /** Devices that once could, ascending. */
  removed: Key[]
}

function bad(message: string, fault: 'malformed' | 'bad-signature' | 'unsupported' = 'malformed'): never {
  throw new FormatError(fault, message, 'keylog')
}

/** SHA-256("icn-next-key" | 0 | key): what an event says of the next key without showing it. */
export function commitment(key: Uint8Array): Uint8Array {
  return sha256(concat(utf8('icn-next-key\0'), key))
}

/** The single event of version 1, by which a root key (its seed) certifies a device and commits to no next key. People start with incept. */
export function certify(rootSeed: Uint8Array, device: Uint8Array): Uint8Array {
  const event = encode([eventTag, 1, publicKey(rootSeed), 0, device])
  return encode([event, signWithSeed(rootSeed, event)])
}

/**
 * Starts the log of the DID whose root key has the seed, and returns the auth of its first, primary device. The log commits to the next key, so that a
 * thief of this one cannot rotate.
 */
export function incept(rootSeed: Uint8Array, next: Uint8Array, device: Uint8Array): Uint8Array {
  const root = publicKey(rootSeed)
  const event = encode([eventTag, 2, root, 0, none, 0, root, none, commitment(next), [[device, 1]], [], [0, 0, []], []])
  const auth = encode([logTag, device, [[event, signWithSeed(rootSeed, event), []]]])
  parseAuth(auth) // as any reader does
  return auth
}

/**
 * Reads and fully verifies an auth. Logs with a recovery by guardians or with hybrid keys are refused as `unsupported`: a node verifies those, this
 * package does not yet.
 */
export function parseAuth(auth: Uint8Array): Auth {
  if (auth[0] === 0x82) return parseSingle(auth)
  const { log, device } = open(auth, true)
  return log.auth(toHex(device))
}

/** Reads and fully verifies a log that is shown for no device, as key.log and key.own give it, or an auth's. */
export function parseLog(bytes: Uint8Array): Omit<Auth, 'device' | 'role'> {
  return open(bytes).log.state()
}

function parseSingle(auth: Uint8Array): Auth {
  if (auth.length > max.single) bad(`key event of ${auth.length} bytes: at most ${max.single}`)
  const log = new Log()
  log.first(new Fields(decode(auth), 'keyevent', 2))
  return log.auth(log.events[0]!.device!)
}

const noTerms: readonly [Value, Value] = [[0, 0, []], []]

/** The log in its parts, read and verified, and the device that it is shown for, empty for none. */
function open(bytes: Uint8Array, shown = false): { log: Log; events: readonly Value[]; device: Uint8Array } {
  if (bytes.length > max.auth) bad(`log of ${bytes.length} bytes: at most ${max.auth}`)
  const single = bytes[0] === 0x82
  const f = new Fields(single ? [logTag, none, [[...(decode(bytes) as readonly Value[]), []]]] : decode(bytes), 'keylog', 3)
  const tag = f.text()
  const device = f.bytes()
  const events = f.array()
  if (tag !== logTag) bad(`tag ${JSON.stringify(tag.slice(0, 64))}: want ${logTag}`)
  if (device.length !== 32 && (shown || device.length !== 0)) bad(`device of ${device.length} bytes: want 32`)
  if (events.length === 0 || events.length > max.events) bad(`${events.length} events: want 1 to ${max.events}`)
  const log = new Log()
  for (const e of events) log.extend(e)
  if (events.length === 1 && log.single && !single) bad('a single event of version 1 stands alone')
  return { log, events, device }
}

/** What an event is to say, beside what follows from the log. */
interface Change {
  kind: 'devices' | 'rotation'
  /** The commitment to the next key, of a rotation. */
  next?: Uint8Array
  add: readonly Device[]
  remove: readonly Key[]
}

/** The log with one event more, signed by the key with that seed, shown for a device, and verified as any reader does. */
function extended(auth: Uint8Array, seed: Uint8Array, change: Change, device: Key): Uint8Array {
  const { log, events } = open(auth)
  const head = log.events.at(-1)!
  const terms = change.kind === 'rotation' ? (log.events.findLast((e) => e.kind !== 'devices')?.terms ?? noTerms) : noTerms
  const add = change.add.map((d): [Uint8Array, number] => [fromHex(d.key, 32), d.role === 'primary' ? 1 : 2]).sort(([a], [b]) => compare(a, b))
  const event = encode([
    eventTag, 2, fromHex(head.root), head.seq + 1n, fromHex(head.id), eventKinds.indexOf(change.kind), publicKey(seed), none, change.next ?? none, add,
    [...change.remove].sort().map((k) => fromHex(k, 32)), ...terms,
  ])
  const out = encode([logTag, fromHex(device, 32), [...events, [event, signWithSeed(seed, event), []]]])
  parseAuth(out)
  return out
}

/** The same log as the auth of another of its devices. */
export function shownFor(auth: Uint8Array, device: Key): Uint8Array {
  const { log, events } = open(auth)
  const out = log.single && events.length === 1 ? auth : encode([logTag, fromHex(device, 32), events])
  if (parseAuth(out).device !== device) bad(`the log does not let device ${device} sign`)
  return out
}

/** The log with devices added or removed by the key in charge, whose seed is given, as the auth of a device. */
export function changeDevices(auth: Uint8Array, seed: Uint8Array, add: readonly Device[], remove: readonly Key[], device: Key): Uint8Array {
  return extended(auth, seed, { kind: 'devices', add, remove }, device)
}

/** The log with the key in charge that was committed to, whose seed is given, on the same terms, and a commitment to the next, as the auth of a device. */
export function rotate(auth: Uint8Array, seed: Uint8Array, next: Uint8Array, add: readonly Device[], remove: readonly Key[], device: Key): Uint8Array {
  return extended(auth, seed, { kind: 'rotation', next: commitment(next), add, remove }, device)
}

/** What the root key of a DID signs to be given its log by key.own. */
export function askMessage(did: DID, ms: number): Uint8Array {
  return encode(['icn-key-log-ask', did, ms])
}

interface Parsed extends KeyEvent {
  root: string
  seq: bigint
  prev: string
  next?: Hash
  hybrid: boolean
  bare: boolean // sets no terms
  terms: readonly [Value, Value] // guardians and homes
  add: Device[]
  remove: Key[]
  device?: Key
}

/** What a log comes to, event by event. */
class Log {
  readonly events: Parsed[] = []
  private devices = new Map<Key, Role>()
  private readonly removed = new Set<Key>()
  private next: Hash | undefined
  single = false

  auth(device: Key): Auth {
    const role = this.devices.get(device)
    if (!role) return bad(`the log does not let device ${device} sign`)
    return { device, role, ...this.state() }
  }

  state(): Omit<Auth, 'device' | 'role'> {
    return {
      did: didOf(fromHex(this.events[0]!.root)),
      events: this.events.map(({ id, kind, key, next }) => (next === undefined ? { id, kind, key } : { id, kind, key, next })),
      key: this.events.at(-1)!.key,
      devices: [...this.devices].map(([key, r]) => ({ key, role: r })).sort((a, b) => (a.key < b.key ? -1 : 1)),
      removed: [...this.removed].sort(),
    }
  }

  /** Takes the single event of version 1. */
  first(signed: Fields): void {
    const event = signed.bytes()
    const signature = signed.bytes()
    const f = new Fields(decode(event), 'keyevent', 5)
    if (f.text() !== eventTag) bad(`want the tag ${eventTag}`)
    if (f.uint(0xffffn) !== 1n) bad('a single event has version 1')
    const root = f.bytes()
    if (f.uint() !== 0n) bad('a single event is the inception, 0')
    const device = f.bytes()
    if (root.length !== 32 || device.length !== 32) bad('keys have 32 bytes')
    checkKey(root)
    checkKey(device)
    if (!verify(root, event, signature)) bad("the root key's signature does not fit", 'bad-signature')
    const key = toHex(root)
    this.events.push({
      id: toHex(sha256(event)), kind: 'inception', key, root: key, seq: 0n, prev: '', hybrid: false, bare: false, terms: noTerms, add: [], remove: [], device: toHex(device),
    })
    this.devices.set(toHex(device), 'primary')
    this.single = true
  }

  extend(v: Value): void {
    const s = new Fields(v, 'keylog', 3)
    const event = s.bytes()
    const signature = s.bytes()
    const approvals = s.array()
    if (this.events.length === 0 && event[0] === 0x85 && approvals.length === 0) {
      this.first(new Fields([event, signature], 'keyevent'))
      return
    }
    const e = parseEvent(event)
    this.follows(e)
    if (e.hybrid) bad('hybrid keys', 'unsupported')
    this.apply(e)
    if (!verify(fromHex(e.key), event, signature)) bad('the signature of the key in charge does not fit', 'bad-signature')
    if (e.kind === 'recovery') bad('recoveries by guardians', 'unsupported')
    if (approvals.length > 0) bad(`approvals of a ${e.kind}`)
    this.events.push(e)
  }

  private follows(e: Parsed): void {
    const head = this.events.at(-1)
    if (!head) {
      if (e.kind !== 'inception' || e.seq !== 0n) bad('a log starts with an inception of seq 0')
      if (e.key !== e.root) bad('the key of an inception is the root key')
      return
    }
    if (e.root !== head.root) bad('an event of another DID')
    if (e.seq !== head.seq + 1n) bad(`seq ${e.seq}: want ${head.seq + 1n}`)
    if (e.prev !== head.id) bad('prev is not the hash of the event before')
    switch (e.kind) {
      case 'devices':
        if (e.key !== head.key || e.hybrid || !e.bare) bad('a change of devices changes nothing else')
        if (e.add.length + e.remove.length === 0) bad('a change of devices changes none')
        return
      case 'rotation':
        if (!this.next) bad('the event before commits to no next key')
        if (!e.hybrid && toHex(commitment(fromHex(e.key))) !== this.next) bad('the key is not the one that the event before commits to')
        return
      case 'inception':
        bad('only the first event is an inception')
    }
  }

  private apply(e: Parsed): void {
    if (e.kind !== 'devices') {
      if (e.key === this.events.at(-1)?.key) bad('the key is in charge already')
      checkKey(fromHex(e.key))
      this.next = e.next
    }
    for (const k of e.remove) {
      if (!this.devices.delete(k)) bad(`device ${k} cannot be removed: it is not there`)
      this.removed.add(k)
    }
    for (const d of e.add) {
      if (this.removed.has(d.key)) bad(`device ${d.key} was removed: it cannot come back`)
      if (this.devices.get(d.key) === d.role) bad(`device ${d.key} is there already`)
      checkKey(fromHex(d.key))
      this.devices.set(d.key, d.role)
    }
    if (this.devices.has(e.root) || this.devices.has(e.key)) bad('a device is a key in charge: a key has one purpose')
    if ([...this.devices.values()].filter((r) => r === 'primary').length > 1) bad('more than one primary device')
    if (this.devices.size > max.devices) bad(`${this.devices.size} devices: at most ${max.devices}`)
    if (e.kind === 'inception' && this.devices.size === 0) bad('an inception certifies a device')
  }
}

/** Reads an event of version 2: form, sizes and order. */
function parseEvent(b: Uint8Array): Parsed {
  const f = new Fields(decode(b), 'keylog', 13)
  if (f.text() !== eventTag) bad(`want the tag ${eventTag}`)
  if (f.uint(0xffffn) !== 2n) bad('want version 2')
  const root = f.bytes()
  const seq = f.uint()
  const prev = f.bytes()
  const kind = eventKinds[Number(f.uint(3n))]!
  const key = f.bytes()
  const hybrid = f.bytes()
  const next = f.bytes()
  const add = f.array()
  const remove = f.array()
  const guardianTerms = f.any() ?? []
  const guardians = new Fields(guardianTerms, 'keylog', 3)
  const homes = f.array()
  if (root.length !== 32 || key.length !== 32) bad('keys have 32 bytes')
  if (prev.length !== (seq === 0n ? 0 : 32)) bad(`prev of ${prev.length} bytes at seq ${seq}`)
  if (next.length !== 0 && (next.length !== 32 || next.every((x) => x === 0))) bad('next: want 32 bytes, not all zero, or none')
  if (hybrid.length > max.hybrid) bad(`hybrid key of ${hybrid.length} bytes`)
  if (add.length > max.devices || remove.length > max.devices) bad(`at most ${max.devices} devices`)
  const threshold = guardians.uint(255n)
  const delay = guardians.uint(0xffffn)
  const commitments = sorted('guardian', guardians.array(), max.guardians)
  if (commitments.length === 0 ? threshold !== 0n || delay !== 0n : threshold === 0n || threshold > commitments.length) bad('threshold: want from 1 to all guardians')
  if (delay > max.delay) bad(`delay of ${delay} hours: at most ${max.delay}`)
  sorted('home', homes, max.homes)
  const devices = add.map((d): [Uint8Array, Role] => {
    const p = new Fields(d, 'keylog', 2)
    const k = p.bytes()
    const role = p.uint(255n)
    if (role !== 1n && role !== 2n) bad('a role is 1 or 2')
    return [k, role === 1n ? 'primary' : 'secondary']
  })
  sorted('device', devices.map(([k]) => k), max.devices)
  return {
    id: toHex(sha256(b)), kind, key: toHex(key), root: toHex(root), seq, prev: toHex(prev), hybrid: hybrid.length > 0,
    ...(next.length > 0 ? { next: toHex(next) } : {}),
    terms: [guardianTerms, homes],
    bare: next.length === 0 && threshold === 0n && homes.length === 0,
    add: devices.map(([k, role]) => ({ key: toHex(k), role })),
    remove: sorted('removed device', remove, max.devices).map(toHex),
  }
}

/** Wants 32 bytes each, in strictly ascending order: a set has one encoding. */
function sorted(what: string, vs: readonly Value[], limit: number): Uint8Array[] {
  if (vs.length > limit) bad(`${vs.length} of ${what}: at most ${limit}`)
  let last: Uint8Array | undefined
  return vs.map((v) => {
    if (!(v instanceof Uint8Array) || v.length !== 32) return bad(`${what}: want 32 bytes`)
    if (last && compare(last, v) >= 0) bad(`${what}: want strictly ascending order`)
    last = v
    return v
  })
}
