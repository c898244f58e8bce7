/** That what was generated is what a node of this tree answers. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { dateOf, eventTypes, type EventOf, table } from '../../src/index.js'
import { decodeEnvelope, fromBase64 } from '../../src/record/index.js'
import { type Daemon, member, missing, start } from './daemon.js'

const skip = missing() ?? false
let node: Daemon

before(async () => {
  if (!skip) node = await start()
})
after(() => node?.stop())

test('times are what the node wrote, to the last bit', { skip }, async () => {
  let sent = ''
  let answered = ''
  const { client } = await member(node, {
    fetch: async (url, init) => {
      const res = await fetch(url, init)
      if (String(url).includes('/records/submit')) [sent, answered] = [String(init!.body), await res.clone().text()]
      return res
    },
  })
  const before = Date.now()
  const { receipt } = await client.ledger.transfer({ space: node.space, to: node.did, currency: 'hours', amount: 1 })
  assert.equal(receipt.time, decodeEnvelope(fromBase64((JSON.parse(sent) as { records: [string] }).records[0])).time, 'what was signed')
  assert.equal(`"time":${receipt.time}`, /"time":\d+/.exec(answered)?.[0], 'what the node wrote')
  const at = dateOf(receipt.time)
  assert(Math.abs(at.getTime() - before) < 60_000, at.toISOString())
})

interface Document {
  paths: Record<string, Record<string, { operationId: string; 'x-icn-kind': string; 'x-icn-signs': string; 'x-icn-write': boolean }>>
  'x-icn-events': Record<string, unknown>
}

const names = (all: Iterable<string>): string[] => [...all].sort()

test('every method has its operation on the node, of the same kind, and every operation its method', { skip }, async () => {
  const { client } = await member(node)
  const doc = (await (await fetch(`${node.url}/openapi.json`)).json()) as Document
  const answers = new Map<string, string>()
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, o] of Object.entries(methods)) {
      const flags = (o['x-icn-write'] ? 'w' : '') + { unary: '', list: 'l', stream: 's' }[o['x-icn-kind']]! + { none: '', one: '1', several: '+' }[o['x-icn-signs']]!
      answers.set(o.operationId, `${method.toUpperCase()} ${path} ${flags}`)
    }
  }
  assert.deepEqual(names(Object.entries(table).map(([op, [method, path, flags]]) => `${op}: ${method} ${path.replace('...}', '}')} ${flags}`)), names([...answers].map(([op, row]) => `${op}: ${row}`)))
  for (const op of answers.keys()) {
    const words = op.split('.').map((w) => w.replace(/-([a-z])/g, (_, c: string) => c.toUpperCase()))
    const method = words.reduce<unknown>((at, w) => (at as Record<string, unknown>)[w], client)
    assert.equal(typeof method, 'function', op)
  }
  // What JSON-RPC serves on the same node is the same table, and what it says of itself.
  const res = await fetch(`${node.url}/rpc`, {
    method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${await client.auth.token()}` },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'rpc.discover' }),
  })
  const { result } = (await res.json()) as { result: { operations: { name: string }[] } }
  assert.deepEqual(names(result.operations.map((op) => op.name)), names(answers.keys()))
})

test('every type of events is told by the node, and every one it tells has a type', { skip }, async () => {
  const { client } = await member(node)
  const { types } = await client.event.types()
  assert.deepEqual(names(types!.map((t) => t.name)), names(eventTypes))
})

test('the events of a type are typed by it', { skip }, async () => {
  const { client, did, pay } = await member(node)
  await pay(7, 'typed')
  let paid: EventOf<'ledger.transferred'> | undefined
  for await (const e of client.event.stream({ space: node.space, types: ['ledger.transferred'], after: 'begin' })) {
    if (e.type === 'event.mark' || e.data.from !== did) continue
    assert.equal(e.type, 'ledger.transferred')
    paid = e
    break
  }
  assert.deepEqual([paid?.data.to, paid?.data.amount, paid?.data.memo], [node.did, 7, 'typed'])
  for await (const e of client.event.stream({ space: node.space, types: ['ledger.*', 'membership.joined'], after: 'begin' })) {
    if (e.type === 'membership.joined') {
      assert.equal(typeof e.data.device, 'string')
      continue
    }
    assert.match(e.type, /^(ledger|event)\./)
    if (e.type === 'ledger.transferred' && e.data.memo === 'typed') break
  }
  // @ts-expect-error there is no such type
  await assert.rejects(async () => { for await (const _ of client.event.stream({ types: ['ledger.mislaid'] })) assert.fail() }, /none: event.types lists them/)
})
