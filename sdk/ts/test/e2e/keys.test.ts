/** A member's keys over their life: lost, and made again. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ICNClient, ICNError, MemoryKeyStore, Phrase, restoreMember } from '../../src/index.js'
import { type Daemon, eventually, member, missing, start } from './daemon.js'

const skip = missing() ?? false
let node: Daemon

before(async () => {
  if (!skip) node = await start()
})
after(() => node?.stop())

test('who has lost everything but the phrase has the balance back, and pays', { skip }, async () => {
  const { space } = node
  const lost = await member(node)
  await lost.client.ledger.transfer({ space, to: node.did, currency: 'hours', amount: 125 }, { wait: 'final' })

  const keys = new MemoryKeyStore()
  const client = new ICNClient({ baseUrl: node.url, keys, pause: 1 })
  const wrong = Phrase.generate()
  await assert.rejects(restoreMember(keys, wrong, client), (err: unknown) => err instanceof ICNError && err.kind === 'not-found')
  assert.equal(await keys.member(), undefined, 'nothing is kept of what failed')

  const restored = await restoreMember(keys, Phrase.parse(lost.words), client)
  assert.equal(restored.did, lost.did)
  assert.notEqual(restored.device.key, (await lost.keys.member())!.device.key)
  await client.key.publish({ space })
  const paid = await eventually(() => client.ledger.transfer({ space, to: node.did, currency: 'hours', amount: 75, memo: 'again' }))
  assert.equal(paid.balance, -200, 'what was paid before counts')
  await assert.rejects(lost.pay(1, 'a thief'), (err: unknown) => err instanceof ICNError, 'the device of before is out')
  await assert.rejects(restoreMember(keys, Phrase.parse(lost.words), client), (err: unknown) => err instanceof ICNError && err.kind === 'conflict')
})
