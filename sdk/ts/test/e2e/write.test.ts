/** Which writes a program can sign by itself, and which need a person: against a node that really fills them in. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createMember, ICNError, MemoryKeyStore } from '../../src/index.js'
import { type Daemon, eventually, member as memberOf, missing, type Somebody, start } from './daemon.js'

const skip = missing() ?? false
let node: Daemon
const member = (): Promise<Somebody> => memberOf(node)

before(async () => {
  if (!skip) node = await start()
})
after(() => node?.stop())

const device = async (s: Somebody): Promise<string> => (await s.keys.member())!.device.key
const needsLook = (words: RegExp) => (err: unknown) => err instanceof ICNError && err.kind === 'mismatch' && words.test(err.message)

test('trust, an appeal and the close of a feed need nobody', { skip }, async () => {
  const { client } = await member()
  const { space, did: to } = node
  await client.trust.add({ space, to, score: 0.75, context: 'repairs' })
  await client.security.appeal({ space, text: 'a backup was restored' })
  await client.feed.close({ space, topic: 'trust' })
})

test('a clerk grants what a person has looked at', { skip }, async () => {
  const clerk = await member()
  const other = await member()
  const { space } = node
  node.ctl('office', 'hand', '--space', space, 'clerk', clerk.did, await device(clerk))
  await clerk.client.auth.login({ scopes: ['ledger:*', 'record:*', 'member:read'] })
  const grant = { space, to: other.did, currency: 'hours', limit: 12_345 }
  const seen: (readonly string[])[] = []
  const confirm = (_: unknown, unasked: readonly string[]): boolean => {
    seen.push(unasked)
    return true
  }
  await assert.rejects(clerk.client.ledger.grant(grant), needsLook(/filled in by_hand /))
  const first = await clerk.client.ledger.grant(grant, { confirm })
  const freeze = { space, to: other.did, currency: 'hours' }
  await assert.rejects(clerk.client.ledger.freeze(freeze), needsLook(/filled in limit \(how much may be owed, as the grant before says\)/))
  assert.equal(Number((await clerk.client.ledger.freeze(freeze, { confirm })).number), Number(first.number) + 1)
  assert.deepEqual(seen, [['by_hand'], ['limit', 'by_hand']])
  await assert.rejects(clerk.client.ledger.grant({ ...grant, limit: 5 }), needsLook(/filled in frozen /))
})

test('a registrar admits members with nothing but a key', { skip }, async () => {
  const registrar = await member()
  const { space } = node
  node.ctl('office', 'hand', '--space', space, 'registrar', registrar.did, await device(registrar))
  await registrar.client.auth.login({ scopes: ['member:*', 'record:*'] })
  const { did, device: added } = (await createMember(new MemoryKeyStore())).member
  for (let i = 0; ; i++) {
    try {
      await registrar.client.member.add({ space, did, device: added.key })
      break
    } catch (err) {
      if (!(err instanceof ICNError) || err.kind !== 'refused' || i > 100) throw err // the office is handed over when the witnesses have made it final
      await new Promise((ok) => setTimeout(ok, 50))
    }
  }
  const { members } = await registrar.client.member.list({ space })
  assert(members?.some((m) => m.did === did))
})

test('members propose and approve what the treasury pays, the office pays it, and the clerk schedules dues, each with their own key', { skip }, async (t) => {
  const node = await start() // with all offices
  t.after(() => node.stop())
  const [giver, proposer, approver, treasurer, clerk] = await Promise.all([memberOf(node), memberOf(node), memberOf(node), memberOf(node), memberOf(node)])
  const { space, did } = node
  await giver.client.ledger.transfer({ space, to: 'office:treasury', currency: 'hours', amount: 500 }, { wait: 'final' })
  const seeds = { space, to: did, currency: 'hours', amount: 300, memo: 'seed potatoes' }
  const { proposal } = await proposer.client.treasury.propose(seeds)
  await assert.rejects(proposer.client.treasury.approve({ space, proposal }), (err: unknown) => err instanceof ICNError && err.reason?.rule === 'own-proposal')
  const { proposal: approved } = await approver.client.treasury.approve({ space, proposal })
  assert.deepEqual([approved.id, approved.approvals], [proposal, [approver.did]])

  for (const [office, s] of [['treasury', treasurer], ['clerk', clerk]] as const) node.ctl('office', 'hand', '--space', space, office, s.did, await device(s))
  await treasurer.client.auth.login({ scopes: ['treasury:*', 'record:*', 'ledger:read'] })
  await eventually(() => treasurer.client.treasury.do({ space, proposal })) // what it pays is compared with the proposal
  const { balances } = await treasurer.client.treasury.show({ space })
  assert.equal(balances?.find((b) => b.currency === 'hours')?.balance, 200)
  await assert.rejects(treasurer.client.treasury.pay({ space, to: did, currency: 'hours', amount: 1 }), (err: unknown) => err instanceof ICNError && err.reason?.rule === 'too-few-approvals')

  await clerk.client.auth.login({ scopes: ['ledger:*', 'record:*'] })
  const dues = { space, name: 'dues', charge: 'dues', currency: 'hours', amount: 50, every: 'month' }
  await eventually(() => assert.rejects(clerk.client.ledger.schedule(dues), (err) => needsLook(/filled in first, zone: give/)(err) || Promise.reject(err)))
  assert((await clerk.client.ledger.schedule({ ...dues, first: '2026-11-01', zone: 'UTC' })).receipt, 'who says all needs to look at nothing')
})
