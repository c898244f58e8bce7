/** A member's keys: made here, kept here, and never sent. */
export * from './device.js'
export * from './member.js'
export * from './phrase.js'
export { IndexedDBKeyStore, type KeyStore, type Member, MemoryKeyStore, type Signed } from './store.js'
export { type LogSource, restoreMember, type RestoreOptions } from './restore.js'
