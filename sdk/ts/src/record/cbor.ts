/**
 * CBOR in the one deterministic form of RFC 8949, section 4.2.1, by the rules of docs/protocol.md, section 3.1: what is not the one encoding of its
 * value is refused, so that a hash of the bytes is a hash of the value.
 */
import { ICNError } from '../error.js'
import { compare, concat, utf8 } from './bytes.js'

/** A floating-point number. JavaScript has one type for both, CBOR has two: a plain number is an integer here. */
export class Float {
  constructor(readonly value: number) {}
}

/** A value. Integers are read as bigint, always; they are written from bigint or from a safe number. Keys of a map are integers or text. */
export type Value = bigint | number | string | boolean | null | Uint8Array | Float | readonly Value[] | ReadonlyMap<bigint | number | string, Value>

/** Limits of one value, against hostile input: elements of an array, pairs of a map, nesting. */
export const limits = { array: 65536, map: 1024, depth: 16 } as const

/** How bytes fail to be a value: `malformed`, or `non-canonical` when they say something in another form than the one. */
export type Fault = 'malformed' | 'non-canonical'

/** The error of bytes that are refused. */
export class FormatError extends ICNError {
  constructor(
    readonly fault: Fault | 'too-large' | 'bad-key' | 'bad-signature' | 'unsupported',
    message: string,
    op = 'cbor',
  ) {
    super(fault === 'too-large' ? 'too-large' : fault === 'unsupported' ? 'unsupported' : 'invalid', `${op}: ${message}`, { op })
  }
}

const maxUint = (1n << 64n) - 1n
const minInt = -(1n << 63n)

function head(major: number, n: bigint): Uint8Array {
  const m = major << 5
  if (n < 24n) return Uint8Array.of(m | Number(n))
  const size = n < 1n << 8n ? 1 : n < 1n << 16n ? 2 : n < 1n << 32n ? 4 : 8
  const b = new Uint8Array(1 + size)
  b[0] = m | (24 + Math.log2(size))
  for (let i = size, left = n; i > 0; i--, left >>= 8n) b[i] = Number(left & 255n)
  return b
}

function encodeFloat(x: number): Uint8Array {
  if (!Number.isFinite(x)) throw new FormatError('malformed', `${x} is no finite number`)
  const half = toHalf(x)
  if (half !== undefined) return Uint8Array.of(0xf9, half >> 8, half & 255)
  const b = new DataView(new ArrayBuffer(9))
  if (Math.fround(x) === x) {
    b.setUint8(0, 0xfa)
    b.setFloat32(1, x)
    return new Uint8Array(b.buffer, 0, 5)
  }
  b.setUint8(0, 0xfb)
  b.setFloat64(1, x)
  return new Uint8Array(b.buffer)
}

/** The half-precision bits of x, undefined when it has none. */
function toHalf(x: number): number | undefined {
  const view = new DataView(new ArrayBuffer(4))
  view.setFloat32(0, x)
  const bits = view.getUint32(0)
  if (view.getFloat32(0) !== x) return undefined
  const sign = (bits >>> 16) & 0x8000
  const exp = ((bits >>> 23) & 255) - 127
  const frac = bits & 0x7fffff
  if (x === 0) return sign
  if (exp >= -14 && exp <= 15) return frac & 0x1fff ? undefined : sign | ((exp + 15) << 10) | (frac >> 13)
  if (exp < -24 || exp > 15) return undefined
  const shift = -exp - 1 // a subnormal half: (1.frac) * 2^exp in units of 2^-24
  const whole = frac | 0x800000
  return whole & ((1 << shift) - 1) ? undefined : sign | (whole >> shift)
}

function fromHalf(h: number): number {
  const exp = (h >> 10) & 31
  const frac = h & 1023
  const x = exp === 0 ? frac * 2 ** -24 : exp === 31 ? NaN : (1 + frac / 1024) * 2 ** (exp - 15)
  return h & 0x8000 ? -x : x
}

/** The one encoding of a value. */
export function encode(v: Value, depth = 0): Uint8Array {
  if (v === null) return Uint8Array.of(0xf6)
  switch (typeof v) {
    case 'boolean':
      return Uint8Array.of(v ? 0xf5 : 0xf4)
    case 'string': {
      const b = utf8(v)
      return concat(head(3, BigInt(b.length)), b)
    }
    case 'number':
      if (!Number.isSafeInteger(v)) throw new FormatError('malformed', `${v}: want an integer that is safe, a bigint or a Float`)
      return encode(BigInt(v), depth)
    case 'bigint':
      if (v > maxUint || v < minInt) throw new FormatError('malformed', `integer ${v}: want 64 bits`)
      return v < 0n ? head(1, -1n - v) : head(0, v)
  }
  if (v instanceof Uint8Array) return concat(head(2, BigInt(v.length)), v)
  if (v instanceof Float) return encodeFloat(v.value)
  if (depth >= limits.depth) throw new FormatError('malformed', `nested deeper than ${limits.depth}`)
  if (Array.isArray(v)) {
    if (v.length > limits.array) throw new FormatError('malformed', `array of ${v.length}: at most ${limits.array}`)
    return concat(head(4, BigInt(v.length)), ...v.map((x: Value) => encode(x, depth + 1)))
  }
  if (v instanceof Map) {
    if (v.size > limits.map) throw new FormatError('malformed', `map of ${v.size}: at most ${limits.map}`)
    const pairs = [...v].map(([k, x]) => [encode(k as Value, depth + 1), encode(x as Value, depth + 1)] as const)
    pairs.sort((a, b) => compare(a[0], b[0]))
    for (let i = 1; i < pairs.length; i++) if (compare(pairs[i - 1]![0], pairs[i]![0]) === 0) throw new FormatError('malformed', 'a key stands twice')
    return concat(head(5, BigInt(v.size)), ...pairs.flat())
  }
  throw new FormatError('malformed', `a ${typeof v} has no encoding`)
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

class Reader {
  private at = 0
  constructor(private readonly b: Uint8Array) {}

  done(): boolean {
    return this.at === this.b.length
  }

  fail(fault: Fault, what: string): never {
    throw new FormatError(fault, `byte ${this.at}: ${what}`)
  }

  private take(n: number): Uint8Array {
    if (n > this.b.length - this.at) this.fail('malformed', 'the input ends')
    this.at += n
    return this.b.subarray(this.at - n, this.at)
  }

  private length(n: bigint, limit: number, what: string): number {
    if (n > BigInt(limit)) this.fail('malformed', `${what} of ${n}: at most ${limit}`)
    return Number(n)
  }

  value(depth: number): Value {
    const first = this.take(1)[0]!
    const major = first >> 5
    const info = first & 31
    if ((major === 4 || major === 5) && depth >= limits.depth) this.fail('malformed', `nested deeper than ${limits.depth}`)
    if (major === 7) return this.simple(info)
    if (info > 27) this.fail('non-canonical', 'indefinite length or reserved form')
    let n = BigInt(info)
    if (info >= 24) {
      const size = 1 << (info - 24)
      n = 0n
      for (const x of this.take(size)) n = (n << 8n) | BigInt(x)
      if (n < (size === 1 ? 24n : 1n << BigInt(4 * size))) this.fail('non-canonical', 'a longer form than needed')
    }
    switch (major) {
      case 0:
        return n
      case 1:
        if (n > -1n - minInt) this.fail('malformed', 'integer out of range')
        return -1n - n
      case 2:
        return this.take(this.length(n, this.b.length, 'byte string')).slice()
      case 3:
        try {
          return decoder.decode(this.take(this.length(n, this.b.length, 'text')))
        } catch (err) {
          if (err instanceof ICNError) throw err
          return this.fail('malformed', 'text that is not UTF-8')
        }
      case 4: {
        const out: Value[] = []
        for (let left = this.length(n, limits.array, 'array'); left > 0; left--) out.push(this.value(depth + 1))
        return out
      }
      case 5:
        return this.map(this.length(n, limits.map, 'map'), depth)
    }
    return this.fail('malformed', 'tag')
  }

  private map(pairs: number, depth: number): Value {
    const out = new Map<bigint | string, Value>()
    let last: Uint8Array | undefined
    for (; pairs > 0; pairs--) {
      const from = this.at
      const k = this.value(depth + 1)
      if (typeof k !== 'bigint' && typeof k !== 'string') return this.fail('malformed', 'a key of a map is an integer or text')
      const key = this.b.subarray(from, this.at)
      const order = last ? compare(last, key) : -1
      if (order === 0) this.fail('malformed', 'a key stands twice')
      if (order > 0) this.fail('non-canonical', 'keys out of order')
      last = key
      out.set(k, this.value(depth + 1))
    }
    return out
  }

  private simple(info: number): Value {
    if (info === 20 || info === 21) return info === 21
    if (info === 22) return null
    if (info === 23) this.fail('non-canonical', 'undefined in the place of null')
    if (info < 25 || info > 27) this.fail('malformed', 'a simple value that nobody uses')
    const b = this.take(1 << (info - 24))
    const view = new DataView(b.buffer, b.byteOffset)
    const x = info === 25 ? fromHalf(view.getUint16(0)) : info === 26 ? view.getFloat32(0) : view.getFloat64(0)
    if (!Number.isFinite(x)) this.fail('malformed', 'not a finite number')
    if (encodeFloat(x).length !== b.length + 1) this.fail('non-canonical', 'a longer form than needed')
    return new Float(x)
  }
}

/** Reads the one encoding of a value, and nothing after it. */
export function decode(b: Uint8Array): Value {
  const r = new Reader(b)
  const v = r.value(0)
  if (!r.done()) r.fail('malformed', 'bytes after the end')
  return v
}

/** Reads values of expected types out of a decoded array; each error says which part of what it was. */
export class Fields {
  private at = 0
  private readonly items: readonly Value[]

  constructor(
    v: Value | undefined,
    private readonly what: string,
    ...sizes: number[]
  ) {
    if (!Array.isArray(v) || (sizes.length > 0 && !sizes.includes(v.length))) this.fail(`want an array of ${sizes.join(' or ')}`)
    this.items = v as readonly Value[]
  }

  private fail(why: string): never {
    throw new FormatError('malformed', why, this.what)
  }

  private next(): Value | undefined {
    return this.items[this.at++]
  }

  get length(): number {
    return this.items.length
  }

  text(): string {
    const v = this.next()
    return typeof v === 'string' ? v : this.fail(`part ${this.at}: want text`)
  }

  bytes(): Uint8Array {
    const v = this.next()
    return v instanceof Uint8Array ? v : this.fail(`part ${this.at}: want bytes`)
  }

  uint(max: bigint = maxUint): bigint {
    const v = this.next()
    return typeof v === 'bigint' && v >= 0n && v <= max ? v : this.fail(`part ${this.at}: want an integer from 0 to ${max}`)
  }

  array(): readonly Value[] {
    const v = this.next()
    return Array.isArray(v) ? v : this.fail(`part ${this.at}: want an array`)
  }

  /** Skips nothing: hands over whatever comes. */
  any(): Value | undefined {
    return this.next()
  }
}
