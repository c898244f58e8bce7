/** That what was generated is what a node of this tree answers. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { dateOf } from '../../src/index.js'
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
