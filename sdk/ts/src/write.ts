/** Writing with a key that stays here: the node says what would be signed, the device looks at it, signs it, and sends it back. */
import { checkFields, checkPlace, type Find, type Request } from './ask.js'
import { describe, type Description, type Kinds } from './describe.js'
import { ICNError, isKind, type Reason } from './error.js'
import { stringifyJSON } from './json.js'
import { sign } from './keys/device.js'
import type { KeyStore, Member, Signed } from './keys/store.js'
import { exclusively } from './lock.js'
import { fromBase64, randomName, toBase64 } from './record/bytes.js'
import { seal, type SignedRecord } from './record/record.js'

/** Asks a person, or a program, whether a record shall be signed. */
export type Confirm = (description: Description, unasked: readonly string[]) => boolean | Promise<boolean>

export interface WriteRequest extends Request {
  /** Names the request: the same name again gets the first answer. */
  idempotency: string | undefined
  wait: string | undefined
  /** The operation has several records signed, one after another. */
  several: boolean
  confirm: Confirm | undefined
  signal: AbortSignal | undefined
}

/** What record.prepare answers. */
interface Prepared {
  bytes?: string
  idempotency?: string
  receipt?: unknown
  output?: unknown
}

/** What record.submit answers for one record. */
interface Result {
  outcome: string
  error?: string
  code?: string
  reason?: Reason
  refusal?: string
  receipt?: unknown
  prepared?: Prepared
}

/** Sends one request to the node; it may be repeated. */
export type Send = (operation: string, path: string, body: unknown, options: { wait?: string | undefined; signal?: AbortSignal | undefined }) => Promise<unknown>

const repeatable = 10 * 60_000 // milliseconds after which the same call is another one: somebody pays the same again
const mostRecords = 32 // that one call may have signed
const mostConflicts = 8 // places that may be taken in a row before we give up

export class Writer {
  constructor(
    private readonly keys: KeyStore,
    private readonly kinds: Kinds,
    private readonly send: Send,
    private readonly find: Find,
    private readonly now: () => number = Date.now,
  ) {}

  /** Does a writing operation and returns its answer. One at a time for a device, in all tabs. */
  async write(req: WriteRequest): Promise<unknown> {
    const member = await this.#member(req.operation)
    return exclusively(member.device.key, () => this.#write(member, req))
  }

  /** Sends what was signed and not answered once more, as it is, and returns how many records that were. */
  async settle(signal?: AbortSignal): Promise<number> {
    const member = await this.#member('record.submit')
    return exclusively(member.device.key, async () => {
      const all = await this.keys.pending()
      let first: unknown
      for (const s of all) {
        try {
          await this.#submit(member, s, undefined, signal)
        } catch (err) {
          if (signal?.aborted) throw err
          first ??= err
        }
      }
      if (first !== undefined) throw first
      return all.length
    })
  }

  async #member(op: string): Promise<Member> {
    const member = await this.keys.member()
    if (!member) throw new ICNError('unauthenticated', `${op}: there is no key on this device: createMember makes one`, { op })
    return member
  }

  async #write(member: Member, req: WriteRequest): Promise<unknown> {
    const input = stringifyJSON(req.input)
    let idempotency = req.idempotency
    let receipt: unknown
    let stands: Signed | undefined // what the receipt is of
    const waiting = new Map<string, unknown>() // by feed: why what was signed there before still has no answer
    for (const s of await this.keys.pending()) {
      // The same call again, whose first answer was lost, is that call: its record goes out once more, and nothing else is signed.
      const r = s.request
      const repeats = r?.operation === req.operation && r.input === input && (idempotency === undefined ? this.now() - r.at < repeatable : idempotency === r.idempotency)
      try {
        const got = (await this.#submit(member, s, repeats ? req.wait : undefined, req.signal)).receipt
        if (repeats && got !== undefined) [idempotency, receipt, stands] = [r.idempotency, got, s]
      } catch (err) {
        if (repeats || req.signal?.aborted || !(err instanceof ICNError)) throw err
        if (err.pending) waiting.set(s.feed, err) // it keeps its own feed from being written in, and no other
        // else it has its place and no effect: whoever made it was told, or reads it among the void records
      }
    }
    idempotency ??= randomName()
    const ask = { operation: req.operation, input: req.input, device: member.device.key, auth: toBase64(member.auth), idempotency }
    let prepared: Prepared | undefined
    let conflicts = 0
    for (let records = receipt === undefined ? 0 : 1; ; ) {
      try {
        prepared ??= (await this.send('record.prepare', '/records/prepare', ask, { signal: req.signal })) as Prepared
      } catch (err) {
        if (stands === undefined || !(err instanceof ICNError)) throw err
        await this.keys.setSigned(stands) // it stands, and only the answer is missing: the same call again shall not do it again
        throw err.with({ receipt, pending: true })
      }
      if (!prepared.bytes) return prepared.output ?? (receipt === undefined ? undefined : { receipt })
      if (records > 0 && !req.several) return { receipt } // the record that was asked for stands; a second was not asked for
      if (records >= mostRecords) throw new ICNError('internal', `${req.operation}: over ${mostRecords} records to sign`, { op: req.operation, receipt })
      const record = await this.#check(member, req, fromBase64(prepared.bytes), waiting)
      const signed = await this.#sign(member, record, { operation: req.operation, input, idempotency, at: this.now() }, prepared.idempotency)
      const result = await this.#submit(member, signed, req.wait, req.signal, req)
      if (result.receipt === undefined) {
        if (++conflicts > mostConflicts) throw new ICNError('conflict', `${req.operation}: another program writes with the key of this device`, { op: req.operation })
        prepared = result.prepared
        continue
      }
      receipt = result.receipt
      stands = signed
      prepared = undefined
      records++
    }
  }

  /** Looks at what is to be signed; see checkPlace and checkFields. */
  async #check(member: Member, req: WriteRequest, bytes: Uint8Array, waiting: ReadonlyMap<string, unknown>): Promise<SignedRecord> {
    const last = (feed: string): Promise<Signed | undefined> => {
      if (waiting.has(feed)) throw waiting.get(feed)
      return this.keys.signed(feed)
    }
    const record = await checkPlace(bytes, req, member, last, this.now())
    const description = describe(this.kinds, record)
    const unasked = await checkFields(req, this.kinds, description, record, member, this.find)
    if (req.confirm) {
      if (!(await req.confirm(description, unasked.map((u) => u.name)))) throw new ICNError('aborted', `${req.operation}: not signed: ${description.text}`, { op: req.operation })
    } else if (unasked.length > 0) {
      const what = unasked.map((u) => (u.why === undefined ? u.name : `${u.name} (${u.why})`)).join(', ')
      throw new ICNError('mismatch', `${req.operation}: the node has filled in ${what}: give \`confirm\`, to look at it before it is signed: ${description.text}`, { op: req.operation })
    }
    return record
  }

  /** Signs, and keeps what was signed before anybody else has it: a place is never signed twice, whatever happens from here on. */
  async #sign(member: Member, r: SignedRecord, request: NonNullable<Signed['request']>, name: string | undefined): Promise<Signed> {
    const envelope = seal(r.unsigned, await sign(member.device, r.unsigned))
    const signed: Signed = { feed: r.feed, seq: r.seq, id: r.id, envelope, request, ...(name === undefined ? {} : { name }) }
    await this.keys.setSigned(signed)
    return signed
  }

  /** Sends a record. The result has its receipt, or none when its place is taken. */
  async #submit(member: Member, s: Signed, wait: string | undefined, signal: AbortSignal | undefined, again?: Request): Promise<Result> {
    const op = s.request?.operation ?? 'record.submit'
    const body = {
      records: [toBase64(s.envelope!)], idempotency: s.name,
      ...(again ? { operation: again.operation, input: again.input, auth: toBase64(member.auth) } : {}),
    }
    let result: Result
    try {
      const out = (await this.send('record.submit', '/records/submit', body, { wait, signal })) as { results: Result[] }
      result = out.results[0] ?? { outcome: 'refused', error: 'the node answered nothing', code: 'internal' }
    } catch (err) {
      if (!(err instanceof ICNError)) throw err
      if (err.kind === 'conflict') return this.#taken(s, { outcome: 'refused' })
      throw err.with({ op, pending: true })
    }
    if (result.outcome === 'committed' || result.outcome === 'duplicate' || result.outcome === 'void') {
      const { feed, seq, id } = s
      await this.keys.setSigned({ feed, seq, id })
      if (result.outcome === 'void') {
        delete result.receipt // whoever has one believes that it is done
        throw failed(op, result, false)
      }
      if (result.error === undefined) return { ...result, receipt: result.receipt ?? {} }
      throw failed(op, result, false) // it stands, but the level waited for was not reached
    }
    if (result.prepared || result.code === 'conflict') return this.#taken(s, result)
    throw failed(op, result, true)
  }

  /** Another record of this device stands at the place. What was signed for it is not used any more, and neither is the place. */
  async #taken(s: Signed, result: Result): Promise<Result> {
    const { feed, seq } = s
    await this.keys.setSigned({ feed, seq, id: '', not: s.id })
    const { prepared } = result
    return { outcome: result.outcome, ...(prepared ? { prepared } : {}) }
  }
}

function failed(op: string, r: Result, pending: boolean): ICNError {
  const kind = isKind(r.code) ? r.code : 'internal'
  return new ICNError(kind, r.error ?? `the node did not take the record: ${r.outcome}`, { op, reason: r.reason, refusal: r.refusal, receipt: r.receipt, pending })
}
