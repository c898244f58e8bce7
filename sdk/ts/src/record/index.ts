/** The canonical form of what travels: pure, without network, clock or storage. */
export * from './bytes.js'
export { decode, encode, Float, FormatError, limits, type Value } from './cbor.js'
export * from './did.js'
export { keyFault, verify } from './ed25519.js'
export { askMessage, type Auth, certify, changeDevices, commitment, type Device, type EventKind, incept, type KeyEvent, parseAuth, parseLog, type Role, rotate, shownFor } from './keylog.js'
export * from './record.js'
export { dateOf, millis, type Timestamp, type UInt64 } from '../time.js'
