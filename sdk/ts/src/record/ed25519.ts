/** Ed25519 by the one rule of docs/protocol.md, sections 2.1 and 3.4. Browsers' own verification follows other rules, so it is not used. */
import { ed25519 } from '@noble/curves/ed25519'

/**
 * Whether signature is key's over message by the ZIP-215 rule: the cofactored equation, S below the order, points in any encoding. It does not look at
 * what checkKey looks at.
 */
export function verify(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (key.length !== 32 || signature.length !== 64) return false
  try {
    return ed25519.verify(signature, message, key, { zip215: true })
  } catch {
    return false
  }
}

/** Why a key cannot be used, or undefined: not a point in its one encoding, or of small or mixed order. */
export function keyFault(key: Uint8Array): string | undefined {
  if (key.length !== 32) return `key of ${key.length} bytes: want 32`
  try {
    const p = ed25519.Point.fromBytes(key, false)
    if (p.isSmallOrder() || !p.isTorsionFree()) return 'small or mixed order'
  } catch {
    return 'not a point of the curve in its one encoding'
  }
  return undefined
}

/** The public key of a 32-byte seed. */
export function publicKey(seed: Uint8Array): Uint8Array {
  return ed25519.getPublicKey(seed)
}

/** Signs with a 32-byte seed: for root keys, which are wiped at once. Devices sign by WebCrypto. */
export function signWithSeed(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return ed25519.sign(message, seed)
}
