/** What programs on a server need beside the rest of the package: keys in a file. Only for Node. */
import { randomUUID } from 'node:crypto'
import { unlinkSync } from 'node:fs'
import { type FileHandle, link, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { ICNError } from './error.js'
import type { KeyStore, Member, Signed } from './keys/store.js'
import { type DID, fromBase64, type Hash, type Key, toBase64 } from './record/bytes.js'

/** The file, as JSON. Bytes are base64. */
interface Content {
  version: 1
  member?: { did: DID; device: Key; /** PKCS #8. */ key: string; auth: string; fresh: boolean }
  signed: Record<Hash, Omit<Signed, 'feed' | 'seq' | 'envelope'> & { seq: string; envelope?: string }>
}

const held = new Set<string>() // the locks of this program, which may have the process id of the one before it

/**
 * Keys in a file that only its owner can read (mode 0600): who reads it signs as this device. One program uses it at a time, which a lock beside it sees
 * to, and it must never be copied: two programs that sign with one key fork its feeds. Back up the recovery phrase instead.
 */
export class FileKeyStore implements KeyStore {
  /** A key in a file can be read. */
  readonly extractable = true
  readonly path: string
  #content: Promise<Content> | undefined
  #member: Member | undefined
  #text: string | undefined // of the file, as it was read or written last
  #saving: Promise<unknown> = Promise.resolve()
  #unlock: (() => void) | undefined

  /** @param path of the file; its folder exists. */
  constructor(path: string) {
    this.path = resolve(path)
  }

  async member(): Promise<Member | undefined> {
    const { member } = await this.#open()
    if (!member) return undefined
    if (this.#member?.device.key !== member.device) {
      const handle = await crypto.subtle.importKey('pkcs8', fromBase64(member.key) as BufferSource, 'Ed25519', false, ['sign'])
      this.#member = { did: member.did, device: { key: member.device, handle }, auth: fromBase64(member.auth), fresh: member.fresh }
    }
    return this.#member
  }

  async setMember(m: Member | undefined): Promise<void> {
    const before = (await this.#open()).member
    let member: Content['member']
    if (m) {
      const key = before?.device === m.device.key ? before.key : toBase64(new Uint8Array(await exported(m.device.handle)))
      member = { did: m.did, device: m.device.key, key, auth: toBase64(m.auth), fresh: m.fresh }
    }
    this.#member = undefined
    await this.#change(({ member: _, ...c }) => (member ? { ...c, member } : c))
  }

  async signed(feed: Hash): Promise<Signed | undefined> {
    const { signed } = await this.#open()
    return Object.hasOwn(signed, feed) ? read(feed, signed[feed]!) : undefined
  }

  async setSigned(s: Signed): Promise<void> {
    const { feed, seq, envelope, ...rest } = s
    await this.#change((c) => ({ ...c, signed: { ...c.signed, [feed]: { ...rest, seq: String(seq), ...(envelope ? { envelope: toBase64(envelope) } : {}) } } }))
  }

  async pending(): Promise<Signed[]> {
    const { signed } = await this.#open()
    return Object.entries(signed).map(([feed, s]) => read(feed, s)).filter((s) => s.envelope)
  }

  /** Lets another program, or another store, use the file. */
  async close(): Promise<void> {
    await this.#saving.catch(() => undefined)
    this.#unlock?.()
    this.#unlock = this.#content = this.#member = this.#text = undefined
  }

  #open(): Promise<Content> {
    return (this.#content ??= this.#load().catch((err: unknown) => {
      this.#content = undefined
      throw err
    }))
  }

  async #load(): Promise<Content> {
    const unlock = await lock(`${this.path}.lock`)
    try {
      this.#text = await this.#read()
      const content = this.#text === undefined ? { version: 1 as const, signed: {} } : parse(this.path, this.#text)
      this.#unlock = unlock
      return content
    } catch (err) {
      unlock()
      throw err
    }
  }

  /** The file's text, undefined when there is no file. */
  async #read(): Promise<string | undefined> {
    try {
      const { mode } = await stat(this.path)
      if (process.platform !== 'win32' && mode & 0o077) throw failure('refused', `${this.path} can be read by others: chmod 600, and think of the key in it as known`)
      return await readFile(this.path, 'utf8')
    } catch (err) {
      if (code(err) === 'ENOENT') return undefined
      throw err instanceof ICNError ? err : failure('internal', `${this.path} cannot be read`, err)
    }
  }

  /** One change after the other. Resolves when it is on disk; one that fails changes nothing. */
  async #change(f: (c: Content) => Content): Promise<void> {
    const mine = this.#saving.then(async () => {
      const next = f(await this.#open())
      const text = JSON.stringify(next, undefined, 1) + '\n'
      if ((await this.#read()) !== this.#text) throw failure('conflict', `${this.path} was changed by another program: no two may use it`)
      await replace(this.path, text)
      this.#text = text
      this.#content = Promise.resolve(next)
    })
    this.#saving = mine.catch(() => undefined)
    await mine
  }
}

function read(feed: Hash, s: Content['signed'][string]): Signed {
  const { seq, envelope, ...rest } = s
  return { feed, ...rest, seq: BigInt(seq), ...(envelope === undefined ? {} : { envelope: fromBase64(envelope) }) }
}

function parse(path: string, text: string): Content {
  try {
    const c = JSON.parse(text) as Content
    if (c.version === 1 && typeof c.signed === 'object') return c
  } catch {
    // not said: the error would quote the file
  }
  throw failure('internal', `${path} is no key store of this version`)
}

async function exported(handle: CryptoKey): Promise<ArrayBuffer> {
  try {
    return await crypto.subtle.exportKey('pkcs8', handle)
  } catch (err) {
    throw failure('unsupported', 'the device key cannot be read, so it cannot be kept in a file: make it with createMember and this store', err)
  }
}

/** Puts text in the place of a file; after a power cut there is the old or the new one, whole. */
async function replace(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  try {
    await durably(await open(temporary, 'w', 0o600), (f) => f.writeFile(text))
    await rename(temporary, path)
    if (process.platform !== 'win32') await durably(await open(dirname(path), 'r'))
  } catch (err) {
    throw failure('internal', `${path} cannot be written`, err)
  }
}

async function durably(f: FileHandle, write: (f: FileHandle) => Promise<void> = async () => undefined): Promise<void> {
  try {
    await write(f)
    await f.sync()
  } finally {
    await f.close()
  }
}

/** Takes a lock, also from a program that has ended without giving it back. */
async function lock(path: string): Promise<() => void> {
  const mine = `${path}.${randomUUID()}`
  try {
    await writeFile(mine, `${process.pid}\n`, { mode: 0o600 })
    for (let again = true; ; again = false) {
      try {
        await link(mine, path)
        break
      } catch (err) {
        if (code(err) !== 'EEXIST') throw err
      }
      const pid = Number(await readFile(path, 'utf8').catch(() => ''))
      if (!again || held.has(path) || (pid !== process.pid && runs(pid))) throw failure('conflict', `process ${pid} uses the key store; if that is another program, remove ${path}`)
      await rm(path, { force: true })
    }
  } catch (err) {
    throw err instanceof ICNError ? err : failure('internal', `${path} cannot be made`, err)
  } finally {
    await rm(mine, { force: true }).catch(() => undefined) // when it could not be made either
  }
  held.add(path)
  const unlock = (): void => {
    process.off('exit', unlock)
    held.delete(path)
    try {
      unlinkSync(path)
    } catch {
      // somebody has removed it, which is as well
    }
  }
  process.once('exit', unlock)
  return unlock
}

function runs(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0)
  } catch (err) {
    return code(err) !== 'ESRCH' // EPERM: it runs, as somebody else
  }
}

function code(err: unknown): string | undefined {
  return (err as NodeJS.ErrnoException).code
}

function failure(kind: 'conflict' | 'internal' | 'refused' | 'unsupported', why: string, cause?: unknown): ICNError {
  return new ICNError(kind, `keys: ${why}${cause instanceof Error ? `: ${cause.message}` : ''}`, { op: 'keys', cause })
}
