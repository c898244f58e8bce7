import { invalid } from '../error.js'

/** 32 bytes as 64 lower-case hexadecimal digits: the id of a record, a space or a feed. */
export type Hash = string
/** An Ed25519 public key as 64 lower-case hexadecimal digits. */
export type Key = string
/** `did:icn:<base58btc of a root key>`. */
export type DID = string

const digits = '0123456789abcdef'

export function toHex(b: Uint8Array): string {
  let s = ''
  for (const x of b) s += digits[x >> 4]! + digits[x & 15]!
  return s
}

/** Reads lower-case hexadecimal digits, of `size` bytes when that is given. */
export function fromHex(s: string, size?: number): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/.test(s) || (size !== undefined && s.length !== 2 * size)) {
    throw invalid('hex', `${JSON.stringify(s.slice(0, 80))}: want ${size === undefined ? 'pairs of' : 2 * size} lower-case hexadecimal digits`)
  }
  const b = new Uint8Array(s.length / 2)
  for (let i = 0; i < b.length; i++) b[i] = parseInt(s.slice(2 * i, 2 * i + 2), 16)
  return b
}

/** 32 hexadecimal digits at random: a name that nobody else has given. */
export function randomName(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16)))
}

export function toBase64(b: Uint8Array): string {
  let s = ''
  for (let i = 0; i < b.length; i += 0x8000) s += String.fromCharCode(...b.subarray(i, i + 0x8000))
  return btoa(s)
}

/** Reads base64 in its one spelling: the standard alphabet, with padding. */
export function fromBase64(s: string): Uint8Array {
  let raw: string
  try {
    raw = atob(s)
  } catch {
    raw = ''
  }
  const b = Uint8Array.from(raw, (c) => c.charCodeAt(0))
  if (toBase64(b) !== s) throw invalid('base64', 'want standard base64 with padding')
  return b
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  const b = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const p of parts) {
    b.set(p, at)
    at += p.length
  }
  return b
}

/** Orders byte strings as memcmp does, the shorter of two with a common start first. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length)
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compare(a, b) === 0
}

const encoder = new TextEncoder()

/** UTF-8. Half a surrogate pair has none, and is refused instead of replaced. */
export function utf8(s: string): Uint8Array {
  if (/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(s)) {
    throw invalid('utf8', 'text with half a surrogate pair has no UTF-8')
  }
  return encoder.encode(s)
}

const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** base58btc. Its cost grows with the square of the length: for keys. */
export function toBase58(b: Uint8Array): string {
  let n = 0n
  for (const x of b) n = (n << 8n) | BigInt(x)
  let s = ''
  for (; n > 0n; n /= 58n) s = alphabet[Number(n % 58n)]! + s
  for (const x of b) {
    if (x !== 0) break
    s = '1' + s
  }
  return s
}

/** Reads base58btc of exactly `size` bytes; undefined when it is not. */
export function fromBase58(s: string, size: number): Uint8Array | undefined {
  if (s.length > 2 * size) return undefined
  let n = 0n
  for (const c of s) {
    const d = alphabet.indexOf(c)
    if (d < 0) return undefined
    n = n * 58n + BigInt(d)
  }
  const b = new Uint8Array(size)
  for (let i = size - 1; i >= 0; i--, n >>= 8n) b[i] = Number(n & 255n)
  return n === 0n && toBase58(b) === s ? b : undefined
}
