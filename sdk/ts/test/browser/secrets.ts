/** Looks for secrets in what was seen, however they are spelled. */
import { entropyToMnemonic } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english'
import { toBase58 } from '../../src/record/bytes.js'

export interface Secret {
  name: string
  bytes: Uint8Array
}

/** Something that left the page, came to it, or stays where others can read it. Bytes are kept as one character each. */
export interface Seen {
  where: string
  text: string
}

const latin1 = (b: Uint8Array): string => Buffer.from(b).toString('latin1')

/** What is the same of a byte string's base64 wherever it stands in a longer one: by where it begins, modulo 3. */
function base64s(b: Uint8Array): string[] {
  return [0, 1, 2].map((at) => {
    const all = Buffer.concat([Buffer.alloc(at), b]).toString('base64').replaceAll('=', '')
    return all.slice(Math.ceil((at * 8) / 6), Math.floor(((at + b.length) * 8) / 6))
  })
}

function decoded(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (s) => latin1(Uint8Array.from(s.slice(1).split('%'), (x) => parseInt(x, 16))))
}

interface Spelling {
  name: string
  /** The form of what was seen in which it is looked for. */
  in: (text: string) => string
  of: (half: Uint8Array) => string[]
}

const spellings: Spelling[] = [
  { name: 'bytes', in: (t) => t, of: (b) => [latin1(b), Buffer.from(latin1(b), 'utf8').toString('latin1')] },
  { name: 'hex', in: (t) => t.toLowerCase().replace(/[^0-9a-z]/g, ''), of: (b) => [Buffer.from(b).toString('hex')] },
  { name: 'base64', in: (t) => t.replaceAll('-', '+').replaceAll('_', '/').replace(/\s|\\[nr]/g, ''), of: base64s },
  { name: 'numbers', in: (t) => t.replace(/\s|"\d+":/g, ''), of: (b) => [[...b].join(',')] },
]

/** Where each secret was seen, as "secret as spelling in where". Half of one is found as the whole is. */
export function search(seen: readonly Seen[], secrets: readonly Secret[]): string[] {
  const found = new Set<string>()
  for (const { where, text } of seen) {
    for (const form of new Set([text, decoded(text)])) {
      const letters = form.toLowerCase().replace(/[^a-z]/g, '')
      const read = spellings.map((s) => [s, s.in(form)] as const)
      for (const { name, bytes } of secrets) {
        const say = (spelling: string): void => void found.add(`${name} as ${spelling} in ${where}`)
        for (const half of [bytes.subarray(0, 16), bytes.subarray(16)]) {
          for (const [s, t] of read) if (s.of(half).some((needle) => t.includes(needle))) say(s.name)
        }
        // As it is, and as multicodec has it: "ed25519-priv" before the seed.
        for (const b of [bytes, Uint8Array.of(0x80, 0x26, ...bytes)]) if (form.includes(toBase58(b))) say('base58')
        const words = entropyToMnemonic(bytes, wordlist).split(' ')
        if ([words.slice(0, 12), words.slice(12)].some((ws) => letters.includes(ws.join('')))) say('words')
      }
    }
  }
  return [...found]
}
