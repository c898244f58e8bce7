import { type DID, fromBase58, toBase58, toHex } from './bytes.js'
import { FormatError } from './cbor.js'
import { keyFault } from './ed25519.js'

const prefix = 'did:icn:'
const maxText = prefix.length + 64

/** The one spelling of the DID of a root key. */
export function didOf(root: Uint8Array): DID {
  return prefix + toBase58(root)
}

/** Reads a DID and returns its root key. Any other spelling of the same key, and a key that nobody should use, is refused. */
export function parseDID(did: string): Uint8Array {
  const shown = did.length > maxText ? did.slice(0, maxText) + '...' : did
  const root = did.startsWith(prefix) && did.length <= maxText ? fromBase58(did.slice(prefix.length), 32) : undefined
  if (!root) throw new FormatError('malformed', `DID ${JSON.stringify(shown)}: want did:icn: and 32 bytes in base58btc`, 'did')
  checkKey(root)
  return root
}

/** Refuses keys that could have two spellings or sign for two. */
export function checkKey(key: Uint8Array): void {
  const fault = keyFault(key)
  if (fault) throw new FormatError('bad-key', `key ${toHex(key)}: ${fault}`, 'key')
}
