/** Where a member's keys are kept, and what they have signed last. */
import { ICNError } from '../error.js'
import type { DID, Hash } from '../record/bytes.js'
import type { DeviceKey } from './device.js'

/** A member on this device. */
export interface Member {
  did: DID
  device: DeviceKey
  /** What certifies the device: the auth of the first record of each of its feeds. */
  auth: Uint8Array
  /** The device key was made here, and nothing has been signed with it elsewhere. */
  fresh: boolean
}

/** The last record that this device signed in a feed. Nothing is ever signed twice for one place, so it is kept before it is sent. */
export interface Signed {
  feed: Hash
  seq: bigint
  /** Empty when another record of this device stands there: then any later place is free. */
  id: Hash | ''
  /** Then: what was signed for the place and is not there, as a node said. */
  not?: Hash
  /** The signed record, to be sent again as it is when no answer came. Undefined once the answer came. */
  envelope?: Uint8Array
  /** What was asked for: the call that repeats it gets its answer instead of a second record. */
  request?: { operation: string; input: string; idempotency: string; /** Unix milliseconds. */ at: number }
  /** Under which name the node keeps what became of it. */
  name?: string
}

/** A small durable store. Implement it for a platform that has neither IndexedDB nor a browser; `put` returns when the value is durable. */
export interface KeyStore {
  /** The device key has to be readable for this store to keep it, as in a file. */
  readonly extractable?: boolean
  member(): Promise<Member | undefined>
  setMember(m: Member | undefined): Promise<void>
  signed(feed: Hash): Promise<Signed | undefined>
  setSigned(s: Signed): Promise<void>
  /** Records that were signed and have not been answered yet. */
  pending(): Promise<Signed[]>
}

/** Keys for as long as the program runs: for tests and short scripts. */
export class MemoryKeyStore implements KeyStore {
  #member: Member | undefined
  readonly #signed = new Map<Hash, Signed>()

  async member(): Promise<Member | undefined> {
    return this.#member
  }

  async setMember(m: Member | undefined): Promise<void> {
    this.#member = m
  }

  async signed(feed: Hash): Promise<Signed | undefined> {
    return this.#signed.get(feed)
  }

  async setSigned(s: Signed): Promise<void> {
    this.#signed.set(s.feed, s)
  }

  async pending(): Promise<Signed[]> {
    return [...this.#signed.values()].filter((s) => s.envelope)
  }
}

/**
 * Keys in the browser's IndexedDB. One database holds one member. The browser is asked not to throw it away when space is short, and may do so all the
 * same, as may whoever clears the site's data: the member has the phrase for that.
 */
export class IndexedDBKeyStore implements KeyStore {
  #db: Promise<IDBDatabase> | undefined

  /** @param name of the database. */
  constructor(
    readonly name = 'icn-keys',
    private readonly factory: IDBFactory | undefined = globalThis.indexedDB,
  ) {}

  async member(): Promise<Member | undefined> {
    return this.#run('keys', 'readonly', (s) => s.get('member'))
  }

  async setMember(m: Member | undefined): Promise<void> {
    await this.#run('keys', 'readwrite', (s) => (m === undefined ? s.delete('member') : s.put(m, 'member')))
    if (m !== undefined) void globalThis.navigator?.storage?.persist?.().catch(() => false) // a browser may ask the person, who may take their time
  }

  async signed(feed: Hash): Promise<Signed | undefined> {
    return this.#run('signed', 'readonly', (s) => s.get(feed))
  }

  async setSigned(v: Signed): Promise<void> {
    await this.#run('signed', 'readwrite', (s) => s.put(v, v.feed))
  }

  async pending(): Promise<Signed[]> {
    const all = await this.#run<Signed[]>('signed', 'readonly', (s) => s.getAll())
    return all.filter((s) => s.envelope)
  }

  /** Closes the database. */
  async close(): Promise<void> {
    const db = this.#db
    this.#db = undefined
    if (db) (await db).close()
  }

  #open(): Promise<IDBDatabase> {
    return (this.#db ??= new Promise((resolve, reject) => {
      if (!this.factory) return reject(new ICNError('unsupported', 'keys: there is no IndexedDB here: use MemoryKeyStore or a KeyStore of your own', { op: 'keys' }))
      const req = this.factory.open(this.name, 1)
      req.onupgradeneeded = () => {
        req.result.createObjectStore('keys')
        req.result.createObjectStore('signed')
      }
      req.onsuccess = () => {
        const db = req.result
        db.onclose = () => (this.#db = undefined) // by the browser: the site's data were cleared
        db.onversionchange = () => {
          this.#db = undefined
          db.close() // else another tab that deletes the database would wait for this one
        }
        resolve(db)
      }
      req.onerror = () => {
        this.#db = undefined // the next use tries again
        reject(failure(req.error))
      }
    }))
  }

  async #run<T>(store: string, mode: IDBTransactionMode, f: (s: IDBObjectStore) => IDBRequest): Promise<T> {
    const db = await this.#open()
    return new Promise((resolve, reject) => {
      // strict: what was signed must survive the power cut that comes after the record was sent
      const tx = db.transaction(store, mode, { durability: 'strict' })
      const req = f(tx.objectStore(store))
      tx.oncomplete = () => resolve(req.result as T)
      tx.onabort = tx.onerror = () => reject(failure(tx.error ?? req.error))
    })
  }
}

function failure(cause: unknown): ICNError {
  return new ICNError('internal', `keys: the browser's storage failed: ${cause instanceof Error ? cause.message : String(cause)}`, { op: 'keys', cause })
}

/** Refuses a store that has a member: whose keys are overwritten has lost them. */
export async function empty(store: KeyStore): Promise<void> {
  const there = await store.member()
  if (there) throw new ICNError('conflict', `keys: the store has the keys of ${there.did} already`, { op: 'keys' })
}
