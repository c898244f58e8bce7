import { ICNError } from '../error.js'
import { type Key, toHex } from '../record/bytes.js'

/** A device key that no script can read: WebCrypto signs with it, and gives it to none. Who has the disk has what the browser keeps there. */
export interface DeviceKey {
  /** The public key. */
  readonly key: Key
  /** May be kept in IndexedDB: it is cloned as it is, unreadable. */
  readonly handle: CryptoKey
}

function unsupported(cause: unknown): ICNError {
  return new ICNError('unsupported', 'keys: this browser has no Ed25519 in WebCrypto, so it cannot keep a key that nobody can read: use a current one (Chrome 137, Firefox 129, Safari 17, Node 20, or newer), over https', {
    op: 'keys', cause,
  })
}

function subtle(): SubtleCrypto {
  const s = globalThis.crypto?.subtle as SubtleCrypto | undefined
  if (!s) throw unsupported(undefined) // a page that did not come over https has none
  return s
}

/**
 * Makes a device key. Throws an ICNError of kind `unsupported` where WebCrypto has no Ed25519.
 * @param extractable for a store that can keep a key only if it can read it.
 */
export async function generateDevice(extractable = false): Promise<DeviceKey> {
  const s = subtle()
  let pair: CryptoKeyPair
  try {
    pair = (await s.generateKey('Ed25519', extractable, ['sign', 'verify'])) as CryptoKeyPair
  } catch (err) {
    throw unsupported(err)
  }
  return { key: toHex(new Uint8Array(await s.exportKey('raw', pair.publicKey))), handle: pair.privateKey }
}

/** Signs bytes with the device key. */
export async function sign(device: DeviceKey, message: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await subtle().sign('Ed25519', device.handle, message as BufferSource))
}
