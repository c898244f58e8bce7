import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { checkFields } from '../src/ask.js'
import { describe, indexKinds, type KindSpec } from '../src/describe.js'
import { ICNError } from '../src/error.js'
import { kinds as known } from '../src/gen/kinds.js'
import { table } from '../src/gen/operations.js'
import type { Member } from '../src/keys/store.js'
import { encode, encodeUnsigned, type SignedRecord, type Value } from '../src/record/index.js'

const time = 1_800_000_000_000
const key = new Uint8Array(32).fill(0xab)
const hex = 'ab'.repeat(32)
const to = 'did:icn:586Z7H2vpX9qNhN2T4e9Utugie3ogjbxzGaMtM3E6HR5'

function record(topic: string, kind: string, body: Value | Uint8Array, raw = false): SignedRecord {
  return {
    version: 1, space: hex, topic, kind, device: hex, seq: 1n, time: BigInt(time) << 16n, deps: [], auth: new Uint8Array(0), id: hex, feed: hex, founds: false,
    unsigned: new Uint8Array(0), body: raw ? (body as Uint8Array) : encode(body),
  }
}

const specs: KindSpec[] = [
  { topic: 't', kind: 'one', text: '{a}[ for {b}][{?c}, at once].', fields: [{ name: 'a', type: 'did' }, { name: 'b', type: 'text' }, { name: 'c', type: 'bool' }] },
  { topic: 't', kind: 'sum', text: '{n} {i} {m} {s} {p}', fields: [{ name: 'n', type: 'amount', currency: 'code' }, { name: 'code', type: 'text' }, { name: 'i', type: 'uint' }, { name: 'm', type: 'millis' }, { name: 's', type: 'seconds' }, { name: 'p', type: 'basis-points' }] },
  { topic: 't', kind: 'many', text: '{ks} and {ps}[, {at.id}]', fields: [{ name: 'ks', type: 'key', list: true }, { name: 'ps', type: 'tuple', list: true, fields: [{ name: 'x', type: 'int' }] }, { name: 'at', type: 'tuple', fields: [{ name: 'id', type: 'hash' }] }] },
  { topic: 't', kind: 'raw', text: 'Show {log}.', raw: true, fields: [{ name: 'log', type: 'bytes' }] },
]

test('a record is told in a sentence, by its bytes', () => {
  const kinds = indexKinds([...known, ...specs])
  const zero = new Uint8Array(32)
  for (const [r, text] of [
    [record('ledger', 'transfer', [to, 'hours', 250, 'two "loaves"', '', []]), `Pay 250 minor units of hours to ${to} for "two 'loaves'".`],
    [record('ledger', 'transfer', [to, 'hours', 250, '', '', []]), `Pay 250 minor units of hours to ${to}.`],
    [record('t', 'one', ['x\u202ey', 'a\nb\u200b', true]), 'x\ufffdy for "a\ufffdb\ufffd", at once.'],
    [record('t', 'one', ['{b} [c]', '', false]), '{b} [c].'],
    [record('t', 'sum', [-1, 'h', (1n << 64n) - 1n, time, 1_800_000_000, -12345]), '-1 minor units of h 18446744073709551615 2027-01-15T08:00:00Z 2027-01-15T08:00:00Z -1.2345'],
    [record('t', 'sum', [0, '', 0, -1, 253402300800, 5]), '0 minor units of  0 -1 ms 253402300800 s 0.0005'],
    [record('t', 'many', [[key, zero], [[1], [2]], [key]]), `${hex}, none and 2, ${hex}`],
    [record('t', 'many', [[], [], [zero]]), ' and 0'],
    [record('t', 'raw', Uint8Array.of(1, 2, 3), true), 'Show 3 bytes.'],
  ] as const) {
    const d = describe(kinds, r)
    assert(d.known, d.text)
    assert.equal(d.text, text)
  }
  for (const [r, words] of [
    [record('t', 'none', []), /does not know/],
    [record('ledger', 'one', ['a', 'b', true]), /does not know/],
    [record('t', 'one', ['a', 'b']), /form of its kind/],
    [record('t', 'one', ['a', 'b', 1]), /form of its kind/],
    [record('t', 'one', [key, 'b', true]), /form of its kind/],
    [record('t', 'sum', [(1n << 64n) - 1n, '', 0, 0, 0, 0]), /form of its kind/],
    [record('t', 'sum', [0, '', -1, 0, 0, 0]), /form of its kind/],
    [record('t', 'many', [[new Uint8Array(31)], [], [key]]), /form of its kind/],
    [record('t', 'many', [[], Array.from({ length: 5000 }, () => [1]), [key]]), /more than can be shown/],
    [record('t', 'one', Uint8Array.of(0x83, 0x61, 0x61, 0x78, 0x01, 0x62, 0xf5), true), /form of its kind/],
  ] as const) {
    const d = describe(kinds, r)
    assert.equal(d.known, false)
    assert.match(d.text, words)
  }
})

const device = { key: hex, handle: {} as CryptoKey }
const me: Member = { did: 'did:icn:11111111111111111111111111111112', device, auth: new Uint8Array(0), fresh: true }

test('each field is what was asked for, or a person has to look', async () => {
  const by = (kind: string, operation: string, spec: KindSpec): KindSpec => ({ ...spec, kind, operations: [{ operation }] })
  const kinds = indexKinds([...known, ...specs, by('two', 't.go', specs[0]!), by('sum', 't.sum', specs[1]!), by('many', 't.many', specs[2]!)])
  const check = async (operation: string, input: Record<string, unknown>, r: SignedRecord, find?: Uint8Array): Promise<string[]> =>
    (await checkFields({ operation, input }, kinds, describe(kinds, r), r, me, async () => find ?? assert.fail('no record is asked for'))).map((u) => u.name)
  const refuses = (words: RegExp, ...args: Parameters<typeof check>): Promise<void> =>
    assert.rejects(check(...args), (err: unknown) => err instanceof ICNError && err.kind === 'mismatch' && words.test(err.message))

  const attest = (score: number, at = time / 1000): SignedRecord => record('trust', 'attest', [to, score, 'repairs', at])
  assert.deepEqual(await check('trust.add', { to, score: 0.5, context: 'repairs' }, attest(5000)), [])
  assert.deepEqual(await check('trust.add', { to, score: 0.5, context: 'repairs', space: hex }, attest(5000)), [])
  assert.deepEqual(await check('trust.add', { to, score: 0.5 }, attest(5000)), ['context'], 'what was left out is not free for the node to fill in')
  await refuses(/at is "1", not "20/, 'trust.add', { to, score: 0.5, context: 'repairs' }, attest(5000, 1))
  await refuses(/score is "-5000", not 0.5/, 'trust.add', { to, score: 0.5, context: 'repairs' }, attest(-5000))

  const pay = record('ledger', 'transfer', [to, 'hours', 5, 'bread', '', []])
  assert.deepEqual(await check('ledger.transfer', { to, currency: 'hours', amount: 5n, memo: 'bread' }, pay), [])
  await refuses(/which that operation does not make/, 'security.appeal', { to, currency: 'hours', amount: 5, memo: 'bread' }, pay)
  assert.deepEqual(await check('shop.pay', { to, currency: 'hours', amount: 5, memo: 'bread' }, pay), ['kind'], 'an operation that nothing is known of')

  // A retry is held against the payment itself, which is what its id is the hash of.
  const paid = (body: Value, kind = 'transfer'): SignedRecord =>
    encodeUnsigned({ version: 1, space: hex, topic: 'ledger', device: hex, seq: 2n, prev: hex, time: 1n, deps: [], kind, auth: new Uint8Array(0), body: encode(body) })
  const first = paid([to, 'hours', 5, 'bread', '', []])
  assert.deepEqual(await check('ledger.retry', { id: first.id }, pay, first.unsigned), [])
  for (const other of [paid([to, 'hours', 6, 'bread', '', []]), paid([to, 'hours', 5, '', '', []]), paid([to, 'hours', 5, 'bread', '', []], 'allot')]) {
    await refuses(/retry/, 'ledger.retry', { id: other.id }, pay, other.unsigned)
  }
  await refuses(/is not what the node shows/, 'ledger.retry', { id: hex }, pay, first.unsigned)
  await refuses(/is not what the node shows/, 'ledger.retry', { id: first.id }, pay, Uint8Array.of(1))
  await refuses(/is not what the node shows/, 'ledger.retry', {}, pay, first.unsigned)

  const grant = (limit: number, p: number, frozen: boolean, byHand = true): SignedRecord => record('ledger', 'grant', [to, 'hours', 7, limit, p, frozen, byHand, 0, []])
  assert.deepEqual(await check('ledger.grant', { to, currency: 'hours', limit: 5 }, grant(5, 0, false)), ['by_hand'])
  assert.deepEqual(await check('ledger.grant', { to, currency: 'hours', limit: 5 }, grant(5, 9, true)), ['p', 'frozen', 'by_hand'])
  await refuses(/limit is/, 'ledger.grant', { to, currency: 'hours', limit: 5 }, grant(6, 0, false))
  await refuses(/account is/, 'ledger.grant', { to: me.did, currency: 'hours', limit: 5 }, grant(5, 0, false))
  assert.deepEqual(await check('ledger.freeze', { to, currency: 'hours' }, grant(0, 0, true, false)), [])
  assert.deepEqual(await check('ledger.freeze', { to, currency: 'hours', lift: true }, grant(5, 0, false, false)), ['limit'])
  await refuses(/frozen is/, 'ledger.freeze', { to, currency: 'hours', lift: true }, grant(0, 0, true))

  assert.deepEqual(await check('member.add', { did: to, device: hex }, record('space', 'admit', [to, key, 12])), [], 'a number without gaps')
  await refuses(/device is/, 'member.add', { did: to, device: 'cd'.repeat(32) }, record('space', 'admit', [to, key, 12]))
  assert.deepEqual(await check('space.join', { invitation: 'x' }, record('join', 'join', [key, me.did, key, key])), ['key', 'signature', 'invitation'])
  await refuses(/did is/, 'space.join', { invitation: 'x' }, record('join', 'join', [key, to, key, key]))

  const close = (topic: string, seq: number): SignedRecord => ({ ...record(topic, 'close', [[seq, key]]), seq: 4n, prev: hex })
  assert.deepEqual(await check('feed.close', { topic: 'trust' }, close('trust', 3)), [])
  await refuses(/the topic is ledger/, 'feed.close', { topic: 'trust' }, close('ledger', 3))
  await refuses(/at is/, 'feed.close', { topic: 'trust' }, close('trust', 2))

  const [low, high] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
  const names = { witnesses: ['02'.repeat(32), '01'.repeat(32)], threshold: 2 }
  assert.deepEqual(await check('space.witness', names, record('cuts', 'epoch', [1, [low, high], 2, 0])), [])
  assert.deepEqual(await check('space.witness', names, record('cuts', 'epoch', [1, [low, high], 2, 1])), ['faulty'])
  await refuses(/witnesses/, 'space.witness', names, record('cuts', 'epoch', [1, [low], 2, 0]))

  const cut = (adopt: Value): SignedRecord => record('cuts', 'draft', [['ledger', key], 1, adopt, new Uint8Array(32), []])
  assert.deepEqual(await check('feed.cut', { topic: 'ledger', device: hex }, cut([0, new Uint8Array(32)])), [])
  assert.deepEqual(await check('feed.cut', { topic: 'ledger', device: hex, adopt: hex }, cut([3, key])), ['adopt.seq'])
  assert.deepEqual(await check('feed.cut', { topic: 'ledger', device: hex, by: 'witnessed' }, cut([3, key])), ['adopt.seq', 'adopt.id', 'by'])
  await refuses(/target.topic/, 'feed.cut', { topic: 'trust', device: hex }, cut([0, new Uint8Array(32)]))

  // Two kinds of one topic with the same fields: only what the operation makes tells them apart.
  const text = { subject: to, text: 'sorry' }
  assert.deepEqual(await check('security.appeal', text, record('security', 'appeal', [to, 'sorry'])), [])
  await refuses(/does not make/, 'security.appeal', text, record('security', 'pardon', [to, 'sorry']))
  assert.deepEqual(await check('security.appeal', { text: 'sorry' }, record('security', 'appeal', [me.did, 'sorry'])), [], 'about oneself')
  await refuses(/subject is/, 'security.appeal', { text: 'sorry' }, record('security', 'appeal', [to, 'sorry']))
  assert.deepEqual(await check('key.veto', { event: hex, signature: 'AQI=' }, record('keys', 'veto', [key, Uint8Array.of(1, 2)])), [])
  await refuses(/signature/, 'key.veto', { event: hex, signature: 'AQM=' }, record('keys', 'veto', [key, Uint8Array.of(1, 2)]))

  assert.deepEqual(await check('t.go', { a: 'x', b: 'y' }, record('t', 'two', ['x', 'y', false])), [])
  assert.deepEqual(await check('t.come', { a: 'x', b: 'y' }, record('t', 'two', ['x', 'y', false])), ['kind'])
  await assert.rejects(check('t.go', { a: 'x' }, record('t', 'none', [])), (err: ICNError) => err.kind === 'unsupported')

  const many = record('t', 'many', [[key], [[1], [0]], [key]])
  assert.deepEqual(await check('t.many', { ks: [hex], ps: [{ x: 1 }, {}], at: { id: hex } }, many), [])
  for (const wrong of [{ ks: [] }, { ks: hex }, { ps: [{ x: 1 }] }, { ps: [{ x: 1 }, { y: 1 }] }, { ps: [{ x: 1 }, null] }, { at: { id: 'cd'.repeat(32) } }]) {
    await refuses(/is/, 't.many', { ks: [hex], ps: [{ x: 1 }, {}], at: { id: hex }, ...wrong }, many)
  }
  const sum = record('t', 'sum', [1, 'h', 2, time, time / 1000 + 3600, 5])
  assert.deepEqual(await check('t.sum', { n: 1, code: 'h', i: '2', m: new Date(time), s: '2027-01-15T09:00:00Z', p: 0.0005 }, sum), [])
  await refuses(/m is/, 't.sum', { n: '1', code: 'h', i: 2, m: '2027-01-15T08:00:00.001Z', s: 0, p: 0.0005 }, sum)
  await refuses(/n is/, 't.sum', { n: [1], code: 'h' }, sum)
})

// What stays to be confirmed, of all that a member or an officer can write.
test('the writes that need a person are these', () => {
  const filled: Record<string, string[]> = {}
  for (const k of known) for (const m of k.operations ?? []) {
    const fields = (m.sources ?? []).filter((s) => s.from === 'node').map((s) => s.field!)
    if (fields.length > 0) filled[`${m.operation} ${k.topic}/${k.kind}`] = fields
  }
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  for (const what of Object.keys(filled)) assert(readme.includes(`\`${what.split(' ')[0]}\``), what)
  const signing = Object.entries(table).filter(([, [, , flags]]) => /[1+]/.test(flags)).map(([name]) => name)
  const made = new Set(known.flatMap((k) => (k.operations ?? []).map((m) => m.operation)))
  assert.deepEqual(signing.filter((op) => !made.has(op)), [], 'operations that sign, and nothing says what')
})
