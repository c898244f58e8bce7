/** Events by WebSocket, from a real node, with the `ws` package in the place of a browser's. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { WebSocket } from 'ws'
import { ICNError, type SocketClass } from '../../src/index.js'
import { type Daemon, member, missing, start } from './daemon.js'

const skip = missing() ?? false
let node: Daemon

before(async () => {
  if (!skip) node = await start()
})
after(() => node?.stop())

test('events come by WebSocket, and go on after the connection is lost', { skip }, async () => {
  const opened: WebSocket[] = []
  const webSocket = class extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols)
      opened.push(this)
    }
  } as unknown as SocketClass
  const { client, pay } = await member(node, { transport: 'ws', webSocket })
  const paid: string[] = []
  for (let n = 1; n <= 4; n++) paid.push(await pay(n, `ws ${n}`))
  const told: string[] = []
  for await (const e of client.event.stream({ space: node.space, types: ['ledger.transferred'], after: 'begin' })) {
    if (e.type !== 'ledger.transferred') continue
    told.push(e.record!.id)
    if (told.length === 2) opened[0]!.terminate() // what was under way may still come
    if (told.length === 4) paid.push(await pay(5, 'over the next one'))
    if (told.length === 5) break
  }
  assert.deepEqual(told, paid)
  assert.equal(opened.length, 2)
  for (const s of opened) {
    assert.equal(s.protocol, 'icn.v1')
    assert(!s.url.includes(String(await client.auth.token())))
  }
  // The node's no comes with its kind, though no browser says why a WebSocket was not opened.
  await assert.rejects(async () => {
    for await (const _ of client.topic.tail({ topic: `${'ab'.repeat(32)}/ledger` })) assert.fail()
  }, (err: unknown) => err instanceof ICNError && ['not-found', 'refused'].includes(err.kind))
})
