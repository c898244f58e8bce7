/** Recovery phrases, as the nodes make them: 32 bytes of randomness as 24 words of BIP-39's English list. */
import { hkdf } from '@noble/hashes/hkdf'
import { sha256 } from '@noble/hashes/sha2'
import { entropyToMnemonic, mnemonicToEntropy } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english'
import { invalid } from '../error.js'

const words = 24

/**
 * A recovery phrase. All keys that will ever be in charge of a DID derive from it. It belongs on paper: show `text` once, then `wipe`, and keep it in no
 * storage.
 */
export class Phrase {
  readonly #entropy: Uint8Array

  private constructor(entropy: Uint8Array) {
    this.#entropy = entropy
  }

  static generate(): Phrase {
    return new Phrase(crypto.getRandomValues(new Uint8Array(32)))
  }

  /** Reads what a person wrote: words with any space between them, in any case. The error quotes no word. */
  static parse(text: string): Phrase {
    const ws = text.toLowerCase().trim().split(/\s+/)
    if (ws.length !== words) throw invalid('phrase', `${text.trim() === '' ? 0 : ws.length} words: a recovery phrase has ${words}`)
    const wrong = ws.findIndex((w) => !wordlist.includes(w))
    if (wrong >= 0) throw invalid('phrase', `word ${wrong + 1} is not in the list`)
    try {
      return new Phrase(mnemonicToEntropy(ws.join(' '), wordlist))
    } catch {
      throw invalid('phrase', 'the words do not belong together: one is wrong, or two are exchanged')
    }
  }

  /** The words with a space between them. */
  text(): string {
    return entropyToMnemonic(this.#entropy, wordlist)
  }

  /**
   * The seed of key n: 0 is the root key of a DID that starts with the phrase, 1 the one that its inception commits to. HKDF-SHA-256 with the info
   * "icn-control-key n". The caller wipes it.
   */
  seed(n: number): Uint8Array {
    return hkdf(sha256, this.#entropy, undefined, `icn-control-key ${n}`, 32)
  }

  /** Forgets the phrase, best effort: JavaScript may have copied it. */
  wipe(): void {
    this.#entropy.fill(0)
  }

  /** Says nothing, so that no log does. */
  toString(): string {
    return '[recovery phrase]'
  }

  toJSON(): string {
    return this.toString()
  }
}
