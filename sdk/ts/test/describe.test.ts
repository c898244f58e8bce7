import assert from 'node:assert/strict'
import test from 'node:test'
import { checkFields } from '../src/ask.js'
import { describe, indexKinds, type KindSpec } from '../src/describe.js'
import { ICNError } from '../src/error.js'
import { kinds as known } from '../src/gen/kinds.js'
import { encode, type SignedRecord, type Value } from '../src/record/index.js'

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

test('each field is what was asked for, or a person has to look', () => {
  const kinds = indexKinds([...known, ...specs, { ...specs[0]!, kind: 'two', operations: ['t.go'] }])
  const check = (operation: string, input: Record<string, unknown>, r: SignedRecord): string[] => checkFields({ operation, input }, kinds, describe(kinds, r))
  const attest = (score: number, at = time / 1000): SignedRecord => record('trust', 'attest', [to, score, 'repairs', at])
  assert.deepEqual(check('trust.add', { to, score: 0.5, context: 'repairs' }, attest(5000)), [])
  assert.deepEqual(check('trust.add', { to, score: 0.5, context: 'repairs', space: hex }, attest(5000)), [])
  assert.deepEqual(check('trust.add', { to, score: 0.5 }, attest(5000)), ['kind', 'context'], 'what was left out is not free for the node to fill in')
  assert.deepEqual(check('trust.add', { to, score: 0.5, context: 'repairs' }, attest(5000, 1)), ['kind', 'at'], 'another time than now')
  assert.throws(() => check('trust.add', { to, score: 0.5, context: 'repairs' }, attest(-5000)), /score is "-5000", not 0.5/)

  const pay = record('ledger', 'transfer', [to, 'hours', 5, 'bread', '', []])
  assert.deepEqual(check('ledger.transfer', { to, currency: 'hours', amount: 5n, memo: 'bread' }, pay), [])
  assert.deepEqual(check('ledger.retry', { id: hex }, pay), ['kind', 'to', 'currency', 'amount', 'memo', 'id'])
  assert.deepEqual(check('security.transfer', { to, currency: 'hours', amount: 5, memo: 'bread' }, pay), ['kind'])
  // Two kinds of one topic with the same fields: only the name tells them apart.
  const text = { subject: to, text: 'sorry' }
  assert.deepEqual(check('security.appeal', text, record('security', 'appeal', [to, 'sorry'])), [])
  assert.deepEqual(check('security.appeal', text, record('security', 'pardon', [to, 'sorry'])), ['kind'])

  assert.deepEqual(check('t.go', { a: 'x', b: 'y' }, record('t', 'two', ['x', 'y', false])), [])
  assert.throws(() => check('t.come', { a: 'x', b: 'y' }, record('t', 'two', ['x', 'y', false])), /which that operation does not make/)
  assert.throws(() => check('t.go', { a: 'x' }, record('t', 'none', [])), (err: ICNError) => err.kind === 'unsupported')

  const many = record('t', 'many', [[key], [[1], [0]], [key]])
  assert.deepEqual(check('t.many', { ks: [hex], ps: [{ x: 1 }, {}], at: { id: hex } }, many), [])
  for (const wrong of [{ ks: [] }, { ks: hex }, { ps: [{ x: 1 }] }, { ps: [{ x: 1 }, { y: 1 }] }, { ps: [{ x: 1 }, null] }, { at: { id: 'cd'.repeat(32) } }]) {
    assert.throws(() => check('t.many', { ks: [hex], ps: [{ x: 1 }, {}], at: { id: hex }, ...wrong }, many), (err: ICNError) => err.kind === 'mismatch')
  }
  const sum = record('t', 'sum', [1, 'h', 2, time, time / 1000 + 3600, 5])
  assert.deepEqual(check('t.sum', { n: 1, code: 'h', i: '2', m: new Date(time), s: '2027-01-15T09:00:00Z', p: 0.0005 }, sum), [])
  assert.throws(() => check('t.sum', { n: '1', code: 'h', i: 2, m: '2027-01-15T08:00:00.001Z', s: 0, p: 0.0005 }, sum), /m is/)
  assert.throws(() => check('t.sum', { n: [1], code: 'h' }, sum), /n is/)
})
