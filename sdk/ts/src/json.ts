/**
 * JSON without loss: integers beyond 2^53, such as a record's time, are read as bigint instead of being rounded, and bigint is written as the integer
 * that it is.
 */
import { randomName } from './record/bytes.js'

const tokens = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g
const mark = `integer ${randomName()} ` // no text can be made to begin so by who does not know it

export function parseJSON(text: string): unknown {
  let found = false
  const withMarks = text.replace(tokens, (t) => {
    if (t.startsWith('"') || Number.isSafeInteger(Number(t))) return t
    found = true
    return `"${mark}${t}"`
  })
  if (!found) return JSON.parse(text)
  return JSON.parse(withMarks, (_, v: unknown) => (typeof v === 'string' && v.startsWith(mark) ? BigInt(v.slice(mark.length)) : v))
}

const marked = new RegExp(`"${mark}(-?\\d+)"`, 'g')

export function stringifyJSON(v: unknown): string {
  return JSON.stringify(v, (_, x: unknown) => (typeof x === 'bigint' ? `${mark}${x}` : x)).replace(marked, '$1')
}
