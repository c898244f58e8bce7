/** Whether what a node has prepared is what was asked for, field by field. */
import { describe, type Description, type Field, isEmpty, type Kinds, type Source, specOf } from './describe.js'
import { ICNError } from './error.js'
import { equal, fromBase64, type Hash, toBase64, toHex } from './record/bytes.js'
import { decodeUnsigned, type SignedRecord } from './record/record.js'
import { millis } from './time.js'
import type { Member, Signed } from './keys/store.js'

/** What was asked for. */
export interface Request {
  operation: string
  input: Record<string, unknown>
}

/**
 * How far the time of a record may be from this device's clock, in ms. Nodes take none that is dated ahead of theirs: a node that lies about the time, or whose
 * clock is wrong, would have the device's feed wait as long.
 */
const mostBehind = 24 * 60 * 60 * 1000
const mostAhead = 60 * 60 * 1000

function mismatch(op: string, why: string): never {
  throw new ICNError('mismatch', `${op}: the node asks for a signature under something else: ${why}: nothing was signed`, { op })
}

/**
 * Reads prepared bytes, and refuses them unless they are a record of this device and DID, in the space asked for, at the one place where its next
 * record goes.
 */
export async function checkPlace(bytes: Uint8Array, req: Request, member: Member, last: (feed: string) => Promise<Signed | undefined>, now: number): Promise<SignedRecord> {
  const op = req.operation
  let r: SignedRecord
  try {
    r = decodeUnsigned(bytes)
  } catch (err) {
    return mismatch(op, `the bytes are no record (${err instanceof Error ? err.message : String(err)})`)
  }
  if (r.version !== 1) mismatch(op, `a record of version ${r.version}, which this build does not know`)
  if (r.device !== member.device.key) mismatch(op, 'a record of another device')
  if (r.seq === 1n && !equal(r.auth, member.auth)) mismatch(op, 'another key event')
  const space = req.input.space
  if (typeof space === 'string' && space !== '' && (r.founds || r.space !== space)) mismatch(op, `a record in the space ${r.space}, not in ${space}`)
  const at = millis(r.time)
  if (at - now > mostAhead || now - at > mostBehind) mismatch(op, `a record of ${new Date(at).toISOString()}: that is not now, or this device's clock is wrong`)

  const before = await last(r.feed)
  if (!before) {
    if (member.fresh && r.seq !== 1n) mismatch(op, `record ${r.seq} of a chain in which this device has signed nothing`)
    return r
  }
  // A second signature at one place would be a fork, and hold the feed: everybody could prove that this device signed both.
  if (r.seq <= before.seq) {
    throw new ICNError('conflict', `${op}: this node does not know the newest record of this device yet: try again shortly, or ask the node that has it`, { op })
  }
  if (before.not !== undefined && r.seq === before.seq + 1n && r.prev === before.not) mismatch(op, 'a record that follows the one of which the node said that another one has its place') // signed, it would be done twice
  if (before.id !== '' && (r.seq !== before.seq + 1n || r.prev !== before.id)) mismatch(op, 'a record that does not follow the one this device signed last')
  return r
}

/** What of a record nobody asked for. */
export interface Unasked {
  /** The field, or the input that stands nowhere in the record. */
  name: string
  /** What it is, where that is known. */
  why?: string
}

/** Finds the signed bytes of a record, which nobody need believe: they are what the id is the hash of. */
export type Find = (id: Hash) => Promise<Uint8Array>

/**
 * What of a record cannot be compared with what was asked for: a person has to look at it. Fields that contradict what was asked for are refused. Where
 * each field comes from is said by the apps' table of kinds, which is part of this package.
 */
export async function checkFields(req: Request, kinds: Kinds, d: Description, r: SignedRecord, member: Member, find: Find): Promise<Unasked[]> {
  const op = req.operation
  const spec = specOf(kinds, d)
  if (!spec || !d.known) throw new ICNError('unsupported', `${op}: ${d.text} A newer version of this package may know the kind ${d.kind}.`, { op })
  const maker = spec.operations?.find((m) => m.operation === op)
  if (!maker && [...kinds.values()].some((k) => k.operations?.some((m) => m.operation === op))) mismatch(op, `a record of kind ${d.kind}, which that operation does not make`)

  const asked = new Map(Object.entries(req.input).filter(([, v]) => v !== undefined && v !== null))
  const unseen = new Set([...asked].filter(([name, v]) => name !== 'space' && v !== '' && v !== false && v !== 0).map(([name]) => name))
  const unasked: Unasked[] = maker ? [] : [{ name: 'kind', why: 'nothing says that this operation makes such a record' }]
  const input = (name: string): unknown => {
    unseen.delete(name)
    return asked.get(name)
  }
  const differs = (name: string, f: Field, want: unknown): never => mismatch(op, `${name} is ${JSON.stringify(f.value)}, not ${shown(want)}`)
  const compare = (name: string, f: Field, want: unknown): void => {
    if (want !== undefined && want !== '') {
      if (!same(f, want)) differs(name, f, want)
    } else if (!isEmpty(f)) unasked.push({ name })
  }

  const origin = async (name: string, f: Field, s: Source): Promise<void> => {
    const want = s.input === undefined ? undefined : input(s.input)
    switch (s.from) {
      case 'input':
        return compare(name, f, want)
      case 'not':
        return compare(name, f, want !== true)
      case 'set':
        return compare(name, f, Array.isArray(want) ? [...(want as string[])].sort() : want)
      case 'author':
        return compare(name, f, want || member.did)
      case 'device':
        return compare(name, f, want || member.device.key)
      case 'auth':
        return isEmpty(f) ? undefined : compare(name, f, toBase64(member.auth))
      case 'before':
        return compare(name, f, { seq: r.seq - 1n, id: r.prev ?? '' })
      case 'clock':
        if (!isNow(f, d)) differs(name, f, d.time.toISOString())
        return
      case 'record': {
        const of = await recordOf(op, kinds, r, String(want), find)
        const before = of.fields.find((x) => x.name === f.name) // none: it is no record that this one can follow from
        if (JSON.stringify(before) !== JSON.stringify(f)) differs(name, f, before?.value)
        return
      }
      case 'serial':
        return // a lie about it makes a record that has no effect
      case 'node':
        if (!isEmpty(f)) unasked.push(s.why === undefined ? { name } : { name, why: s.why })
        return
    }
    mismatch(op, `${name} comes from ${JSON.stringify(s.from)}, which this build does not know`)
  }
  const walk = async (fields: readonly Field[], prefix: string): Promise<void> => {
    for (const f of fields) {
      const name = prefix + (f.name ?? '')
      const s = maker?.sources?.find((x) => x.field === name)
      if (s) await origin(name, f, s)
      else if (maker?.sources?.some((x) => x.field?.startsWith(name + '.'))) await walk(f.fields ?? [], name + '.')
      else compare(name, f, prefix === '' ? input(name) : undefined)
    }
  }
  await walk(d.fields, '')
  for (const s of maker?.sources ?? []) {
    if (s.from !== 'topic') continue
    const want = input(s.input ?? '')
    if (want !== d.topic) mismatch(op, `the topic is ${d.topic}, not ${shown(want)}`)
  }
  return [...unasked, ...[...unseen].map((name) => ({ name, why: 'it stands nowhere in the record' }))]
}

/** The record with an id, in the same space as r, read and held against the id. */
async function recordOf(op: string, kinds: Kinds, r: SignedRecord, id: string, find: Find): Promise<Description> {
  const bytes = await find(id)
  let of: SignedRecord | undefined
  try {
    of = decodeUnsigned(bytes)
  } catch {
    // no record, so not the one that was asked for
  }
  if (of?.id !== id || of.space !== r.space) mismatch(op, `the record ${id} is not what the node shows for it`)
  return describe(kinds, of)
}

function shown(v: unknown): string {
  return JSON.stringify(v, (_, x: unknown) => (typeof x === 'bigint' ? String(x) : x))
}

/** A field that says when the record was made. */
function isNow(f: Field, d: Description): boolean {
  const ms = f.type === 'millis' ? Number(f.value) : f.type === 'seconds' ? Number(f.value) * 1000 : undefined
  return ms !== undefined && Math.abs(ms - d.time.getTime()) < 60_000
}

/** Whether a field has the value of an input. */
function same(f: Field, want: unknown): boolean {
  if (f.list) return Array.isArray(want) && want.length === (f.fields ?? []).length && want.every((w, i) => same(f.fields![i]!, w))
  if (f.type === 'tuple') {
    if (typeof want !== 'object' || want === null) return false
    const asked = want as Record<string, unknown>
    const fields = f.fields ?? []
    return fields.every((x) => (asked[x.name!] === undefined ? isEmpty(x) : same(x, asked[x.name!]))) && Object.keys(asked).every((k) => fields.some((x) => x.name === k))
  }
  switch (f.type) {
    case 'bytes':
      return typeof want === 'string' && bytesOf(want) === f.value
    case 'key':
    case 'hash':
      return typeof want === 'string' && want.toLowerCase() === f.value
    case 'basis-points':
      return typeof want === 'number' && Math.round(want * 10_000) === Number(f.value)
    case 'millis':
    case 'seconds': {
      const ms = typeof want === 'string' ? Date.parse(want) : want instanceof Date ? want.getTime() : NaN
      const unit = f.type === 'millis' ? 1 : 1000
      return Number.isNaN(ms) ? String(want) === f.value : BigInt(Math.floor(ms / unit)) === BigInt(f.value)
    }
  }
  return ['string', 'number', 'bigint', 'boolean'].includes(typeof want) && String(want) === f.value
}

/** The hexadecimal digits of what an input has in base64. */
function bytesOf(base64: string): string | undefined {
  try {
    return toHex(fromBase64(base64))
  } catch {
    return undefined
  }
}
