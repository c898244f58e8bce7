/** Whether what a node has prepared is what was asked for, field by field. */
import { type Description, type Field, isEmpty, type Kinds, type KindSpec, specOf } from './describe.js'
import { ICNError } from './error.js'
import { equal } from './record/bytes.js'
import { decodeUnsigned, type SignedRecord } from './record/record.js'
import { millis } from './time.js'
import type { Member, Signed } from './keys/store.js'

/** What was asked for. */
export interface Request {
  operation: string
  input: Record<string, unknown>
}

const day = 24 * 60 * 60 * 1000

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
  if (Math.abs(millis(r.time) - now) > day) mismatch(op, `a record of ${new Date(millis(r.time)).toISOString()}: that is not now, or this device's clock is wrong`)

  const before = await last(r.feed)
  if (!before) {
    if (member.fresh && r.seq !== 1n) mismatch(op, `record ${r.seq} of a chain in which this device has signed nothing`)
    return r
  }
  // A second signature at one place would be a fork, and hold the feed: everybody could prove that this device signed both.
  if (r.seq <= before.seq) {
    throw new ICNError('conflict', `${op}: this node does not know the newest record of this device yet: try again shortly, or ask the node that has it`, { op })
  }
  if (before.id !== '' && (r.seq !== before.seq + 1n || r.prev !== before.id)) mismatch(op, 'a record that does not follow the one this device signed last')
  return r
}

/** What of a record nobody asked for: a person has to look at it. Fields that contradict what was asked for are refused. */
export function checkFields(req: Request, kinds: Kinds, d: Description): string[] {
  const op = req.operation
  const spec = specOf(kinds, d)
  if (!spec || !d.known) throw new ICNError('unsupported', `${op}: ${d.text} A newer version of this package may know the kind ${d.kind}.`, { op })
  const unasked: string[] = []
  const asked = new Map(Object.entries(req.input).filter(([, v]) => v !== undefined && v !== null))
  asked.delete('space')
  for (const f of d.fields) {
    const name = f.name ?? ''
    const want = asked.get(name)
    asked.delete(name)
    if (want !== undefined) {
      if (!same(f, want)) mismatch(op, `${name} is ${JSON.stringify(f.value)}, not ${shown(want)}`)
    } else if (!isEmpty(f) && !isNow(f, d)) {
      unasked.push(name)
    }
  }
  for (const [name, v] of asked) if (v !== '' && v !== false && v !== 0) unasked.push(name) // it stands nowhere in the record
  if (spec.operations && !spec.operations.includes(op)) mismatch(op, `a record of kind ${d.kind}, which that operation does not make`)
  if (!spec.operations && !makes(op, kinds, spec, unasked.length === 0)) unasked.unshift('kind')
  return unasked
}

/**
 * Whether an operation can only mean records of this kind, where the table does not say so: it has the kind's name, in the kind's topic; or no kind of
 * the topic has its name, all fields are those that were asked for, and no other kind of the topic has the same.
 */
function makes(op: string, kinds: Kinds, spec: KindSpec, complete: boolean): boolean {
  const dot = op.indexOf('.')
  const verb = op.slice(dot + 1)
  if (op.slice(0, dot) !== spec.topic) return false
  if (verb === spec.kind) return true
  const names = (s: KindSpec): string => s.fields.map((f) => f.name).join(' ')
  const others = [...kinds.values()].filter((s) => s.topic === spec.topic && s !== spec)
  return complete && others.every((s) => s.kind !== verb && names(s) !== names(spec))
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
