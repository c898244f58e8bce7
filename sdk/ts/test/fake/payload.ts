/** Payloads of pairings, written and read by themselves: what devices show, and what others might make of it. */
import { sha256 } from '@noble/hashes/sha2'
import { decode, type DID, encode, fromBase64, toBase64 } from '../../src/record/index.js'

export interface Link {
  node: DID
  audience: string
  sealed: Uint8Array
  device: Uint8Array
}

export function payloadOf(node: DID, audience: string, sealed: Uint8Array): string {
  const bytes = encode([1, node, audience, sealed])
  return 'icn-login:' + toBase64(Uint8Array.from([...bytes, ...sha256(bytes).subarray(0, 4)])).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
}

export function readPayload(payload: string): Link {
  const text = payload.slice('icn-login:'.length).replace(/-/g, '+').replace(/_/g, '/')
  const bytes = fromBase64(text.padEnd(Math.ceil(text.length / 4) * 4, '='))
  const [, node, audience, sealed] = decode(bytes.subarray(0, -4)) as [bigint, DID, string, Uint8Array]
  const [, device] = decode(sealed.subarray(0, -16)) as [Uint8Array, Uint8Array]
  return { node, audience, sealed, device }
}
