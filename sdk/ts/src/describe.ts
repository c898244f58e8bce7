/** What a record says, by its bytes alone, in the words of the apps' tables of kinds: the same as a node says, so a node cannot say something else. */
import { toHex } from './record/bytes.js'
import { decode, type Value } from './record/cbor.js'
import type { SignedRecord } from './record/record.js'
import { millis } from './time.js'

/** How the body of one kind of record reads. */
export interface KindSpec {
  topic: string
  kind: string
  /** A sentence with the names of fields in braces; [...] is left out when every field that it names is empty. */
  text: string
  /** The body is no array: its bytes are the one field. */
  raw?: boolean
  fields: readonly FieldSpec[]
  /** The operations that have their caller sign such a record. For any other a person has to look at it. */
  operations?: readonly Maker[]
}

/** How an operation comes to sign a record of a kind. A field without a source is the input of the same name. */
export interface Maker {
  operation: string
  sources?: readonly Source[]
}

/** Where a field's value comes from. */
export interface Source {
  /** target.device in a tuple; none where the origin is the topic. */
  field?: string
  /**
   * input: an input. not: the opposite of one. set: its values in ascending order. author, device: who signs; with an input, that where it is given.
   * topic: the input names the record's topic. before: the record before in the same feed. clock: the record's time. record: the same field of the
   * record whose id is the input. auth: the key event log of who signs. serial: a count without gaps, any other number has no effect. node: the node fills it in.
   */
  from: 'input' | 'not' | 'set' | 'author' | 'device' | 'auth' | 'topic' | 'before' | 'clock' | 'record' | 'serial' | 'node'
  input?: string
  /** Of what the node fills in: what it is. */
  why?: string
}

export interface FieldSpec {
  name: string
  type: string
  /** Of an amount: the field beside it that has the currency's code. */
  currency?: string
  /** An array of any number of such values. */
  list?: boolean
  /** Of a tuple. */
  fields?: readonly FieldSpec[]
}

/** One value. A tuple and a list have fields instead, those of a list without a name. */
export interface Field {
  name?: string
  type: string
  /** As text: decimal digits, hexadecimal digits, "true" or "false". */
  value: string
  currency?: string
  list?: boolean
  fields?: Field[]
}

/** What a record says. */
export interface Description {
  /** False: this build does not know what the record says; it signs no such record. */
  known: boolean
  /** One sentence for a person. */
  text: string
  topic: string
  kind: string
  space: string
  device: string
  seq: bigint
  /** By the clock of the node that made it. */
  time: Date
  fields: Field[]
}

export type Kinds = ReadonlyMap<string, KindSpec>

export function indexKinds(specs: readonly KindSpec[]): Kinds {
  return new Map(specs.map((s) => [`${s.topic}\0${s.kind}`, s]))
}

export function specOf(kinds: Kinds, r: { topic: string; kind: string }): KindSpec | undefined {
  return kinds.get(`${r.topic}\0${r.kind}`)
}

const maxShown = 4096 // values; what says more is for machines

class TooMuch extends Error {}

export function describe(kinds: Kinds, r: SignedRecord): Description {
  const d: Description = {
    known: false, text: '', topic: r.topic, kind: r.kind, space: r.space, device: r.device, seq: r.seq, time: new Date(millis(r.time)), fields: [],
  }
  const spec = specOf(kinds, r)
  if (!spec) {
    d.text = 'This build does not know what the record says: do not sign it.'
    return d
  }
  try {
    const f = spec.fields[0]
    d.fields = spec.raw && f ? [{ name: f.name, type: f.type, value: toHex(r.body) }] : new Body().tuple(decode(r.body), spec.fields)
    d.known = true
    d.text = fill(spec.text, d.fields)
  } catch (err) {
    d.text = err instanceof TooMuch ? 'The record says more than can be shown: do not sign it.' : 'The record does not have the form of its kind: do not sign it.'
  }
  return d
}

function malformed(): never {
  throw new RangeError('not the form of its kind')
}

class Body {
  private shown = 0

  tuple(v: Value | undefined, specs: readonly FieldSpec[]): Field[] {
    if (!Array.isArray(v) || v.length !== specs.length) malformed()
    const fields = specs.map((s, i) => this.field((v as readonly Value[])[i]!, s))
    for (const [i, s] of specs.entries()) {
      const code = s.currency && fields.find((f) => f.name === s.currency)
      if (code) fields[i]!.currency = code.value
    }
    return fields
  }

  private field(v: Value, s: FieldSpec): Field {
    if (!s.list) return { name: s.name, ...this.one(v, s) }
    if (!Array.isArray(v)) return malformed()
    if (this.shown + v.length > maxShown) throw new TooMuch()
    return { name: s.name, type: s.type, value: '', list: true, fields: v.map((x: Value) => this.one(x, s)) }
  }

  private one(v: Value, s: FieldSpec): Field {
    if (++this.shown > maxShown) throw new TooMuch()
    if (s.type === 'tuple') return { type: s.type, value: '', fields: this.tuple(v, s.fields ?? []) }
    return { type: s.type, value: valueOf(v, s.type) }
  }
}

function valueOf(v: Value, type: string): string {
  switch (type) {
    case 'text':
    case 'did':
      return typeof v === 'string' ? v : malformed()
    case 'uint':
      return typeof v === 'bigint' && v >= 0n ? String(v) : malformed()
    case 'int':
    case 'amount':
    case 'millis':
    case 'seconds':
    case 'basis-points':
      return typeof v === 'bigint' && BigInt.asIntN(64, v) === v ? String(v) : malformed()
    case 'bool':
      return typeof v === 'boolean' ? String(v) : malformed()
    case 'bytes':
      return v instanceof Uint8Array ? toHex(v) : malformed()
    case 'key':
    case 'hash':
      if (!(v instanceof Uint8Array) || v.length !== 32) return malformed()
      return v.every((x) => x === 0) ? '' : toHex(v)
  }
  return malformed()
}

/** The field of a dotted name. */
function find(fields: readonly Field[], name: string): Field | undefined {
  const [first, ...rest] = name.split('.')
  const f = fields.find((x) => x.name === first)
  return f && rest.length > 0 ? find(f.fields ?? [], rest.join('.')) : f
}

/** Writes a spec's text with the values of fields. */
function fill(text: string, fields: readonly Field[]): string {
  return text.replace(/\[([^\]]*)\]?|[^[]+/g, (part: string, section: string | undefined) => {
    const [s, said] = substitute(section ?? part, fields)
    return section === undefined || said ? s : ''
  })
}

/** Replaces the names in braces; said is whether one of the fields is not empty. {?name} is there to ask only. */
function substitute(text: string, fields: readonly Field[]): [text: string, said: boolean] {
  let said = false
  const out = text.replace(/\{(\??)([^}]*)\}?/g, (_, ask: string, name: string) => {
    const f = find(fields, name)
    if (!f) return ''
    said ||= !isEmpty(f)
    return ask ? '' : show(f)
  })
  return [out, said]
}

export function isEmpty(f: Field): boolean {
  if (f.list) return (f.fields ?? []).length === 0
  if (f.type === 'tuple') return (f.fields ?? []).every(isEmpty)
  return f.value === '' || f.value === '0' || f.value === 'false'
}

function show(f: Field): string {
  const fields = f.fields ?? []
  if (f.list) return f.type === 'tuple' && !(fields[0] && priced(fields[0])) ? String(fields.length) : fields.map(show).join(', ')
  const amount = priced(f)
  if (amount) return show(amount)
  switch (f.type) {
    case 'text':
      return `"${printable(f.value)}"`
    case 'did':
      return printable(f.value)
    case 'amount':
      return `${f.value} minor units of ${printable(f.currency ?? '')}`
    case 'millis':
    case 'seconds':
      return moment(f)
    case 'basis-points': {
      const n = BigInt(f.value)
      const u = n < 0n ? -n : n
      return `${n < 0n ? '-' : ''}${u / 10000n}.${String(u % 10000n).padStart(4, '0')}`
    }
    case 'key':
    case 'hash':
      return f.value || 'none'
    case 'bytes':
      return `${f.value.length / 2} bytes`
    case 'tuple':
      return `${fields.length} values`
  }
  return f.value
}

/** The amount of a tuple that is nothing but that and its currency. */
function priced(f: Field): Field | undefined {
  const [currency, amount, more] = f.fields ?? []
  const plain = f.type === 'tuple' && !f.list && !more && currency?.type === 'text' && amount?.type === 'amount' && amount.currency === currency.value
  return plain ? amount : undefined
}

/** A time as RFC 3339 has it, in UTC and whole seconds; what lies outside of the years 1970 to 9999 stays a number. */
function moment(f: Field): string {
  const n = BigInt(f.value)
  const seconds = f.type === 'millis' ? n / 1000n : n
  if (n < 0n || seconds > 253402300799n) return f.value + (f.type === 'millis' ? ' ms' : ' s')
  return new Date(Number(seconds) * 1000).toISOString().replace('.000Z', 'Z')
}

/**
 * U+FFFD in place of what could break a line or make a text read as something else: controls, invisible characters and those that turn the direction of
 * writing; and ' in place of the quotation mark that a sentence puts around it.
 */
function printable(s: string): string {
  return s
    .replaceAll('"', "'")
    .replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e0fff}]/gu, '\ufffd')
}
