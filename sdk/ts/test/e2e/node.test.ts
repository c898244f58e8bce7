/** Against a node that runs: `make build`, then `ICN_E2E_BIN=../../bin npm run e2e`. Without the programs, or when they have no gateway, all is skipped. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createMember, ICNClient, type ICNClientOptions, ICNError, MemoryKeyStore } from '../../src/index.js'
import { type Daemon, member as memberOf, missing, type Somebody, start } from './daemon.js'

const skip = missing() ?? false
let node: Daemon

before(async () => {
  if (!skip) node = await start()
})
after(() => node?.stop())

const member = (options: Partial<ICNClientOptions> = {}): Promise<Somebody> => memberOf(node, options)

/** A fetch whose nth answer to a path is lost, after the node has given it. */
function losing(path: string, n: number): typeof fetch {
  return async (url, init) => {
    const res = await fetch(url, init)
    if (!String(url).includes(path) || --n !== 0) return res
    throw new TypeError('the connection was reset')
  }
}

test('a stranger is refused, and says what would help', { skip }, async () => {
  await assert.rejects(new ICNClient({ baseUrl: node.url }).node.status(), (err: unknown) => err instanceof ICNError && err.kind === 'unauthenticated')
  const keys = new MemoryKeyStore()
  await createMember(keys)
  await assert.rejects(new ICNClient({ baseUrl: node.url, keys }).auth.login(), (err: unknown) => err instanceof ICNError && err.reason !== undefined)
})

test('who is invited joins with nothing but a key, is paid, and pays back', { skip }, async () => {
  const { invitation } = node.ctl('space', 'invite', '--space', node.space) as { invitation: string }
  const keys = new MemoryKeyStore()
  const { member } = await createMember(keys)
  const client = new ICNClient({ baseUrl: node.url, keys, pause: 1, confirm: () => true })
  await client.auth.login({ scopes: ['record:write', 'space:join'] })
  await assert.rejects(client.ledger.balance({ space: node.space, did: member.did }), (err: unknown) => err instanceof ICNError && err.kind === 'refused')
  await client.space.join({ invitation })
  for (let i = 0; ; i++) {
    try {
      await client.auth.login()
      break
    } catch (err) {
      if (!(err instanceof ICNError) || err.reason?.rule !== 'not-a-member' || i > 100) throw err
      await new Promise((r) => setTimeout(r, 50))
    }
  }
  node.ctl('ledger', 'transfer', '--space', node.space, member.did, '3.00')
  await client.ledger.transfer({ space: node.space, to: node.did, currency: 'hours', amount: 100 })
  const { balances } = (await client.ledger.balance({ space: node.space, did: member.did })) as unknown as { balances: { balance: number }[] }
  assert.equal(balances[0]!.balance, 200)
})

test('a member with nothing but a key logs in, pays, and reads it back', { skip }, async () => {
  const said: string[] = []
  const { client, did, keys, pay } = await member({
    confirm: (d, unasked) => {
      said.push(d.text)
      return unasked.length === 0
    },
  })
  assert.equal((await client.auth.login({ label: 'e2e' })).did, did)
  const first = await pay(125, 'bread')
  assert.deepEqual(said, [`Pay 125 minor units of hours to ${node.did} for "bread".`])
  const paid = await client.ledger.transfer({ space: node.space, to: node.did, currency: 'hours', amount: 75 }, { idempotency: 'order-7', wait: 'final' })
  assert.deepEqual([paid.balance, paid.receipt.level], [-200, 'final'])
  const again = await client.ledger.transfer({ space: node.space, to: node.did, currency: 'hours', amount: 75 }, { idempotency: 'order-7' })
  assert.equal(again.receipt.position.id, paid.receipt.position.id)
  assert.deepEqual(await keys.pending(), [])

  const ids: string[] = []
  for await (const e of client.ledger.history({ space: node.space, limit: 1 })) ids.push(String((e as unknown as { id: string }).id))
  assert.equal(ids.length, 2, 'two pages')
  assert(ids.includes(first))
  const { balances } = (await client.ledger.balance({ space: node.space, did })) as unknown as { balances: { balance: number }[] }
  assert.equal(balances[0]!.balance, -200)

  const tail: string[] = []
  for await (const r of client.topic.tail({ topic: `${node.space}/ledger`, last: 10 })) if (r.author === did) tail.push(r.kind)
  assert.deepEqual(tail, ['transfer', 'transfer'])
  await client.auth.logout()
  await assert.rejects(pay(1, ''), (err: unknown) => err instanceof ICNError && err.kind === 'unauthenticated')
})

test('a refusal comes before anything is signed, with its reason', { skip }, async () => {
  const { client, keys, pay } = await member()
  await assert.rejects(pay(1_000_000_000, ''), (err: unknown) => err instanceof ICNError && err.kind === 'refused' && err.reason?.domain === 'ledger' && err.remedy !== '')
  assert.deepEqual(await keys.pending(), [])
  await client.trust.add({ space: node.space, to: node.did, score: 0.75, context: 'repairs' })
  await assert.rejects(client.member.add({ space: node.space, did: node.did, device: 'ab'.repeat(32) }, { confirm: () => true }), (err: unknown) => err instanceof ICNError)
})

test('what was lost on the way is paid once', { skip }, async () => {
  for (const [path, n] of [['/records/submit', 1], ['/records/prepare', 1], ['/records/prepare', 2]] as const) {
    for (const retries of [0, 4]) {
      const { client, keys, did, pay } = await member({ fetch: losing(path, n), retries })
      const id = await pay(10, 'lost').catch(async (err: unknown) => {
        assert(err instanceof ICNError && err.kind === 'network' && retries === 0, String(err))
        return pay(10, 'lost')
      })
      await pay(20, 'next')
      const { entries } = await client.ledger.history({ space: node.space, did })
      assert.equal(entries?.length, 2, `${path}: one payment, and the next`)
      assert(id)
      assert.deepEqual(await keys.pending(), [])
    }
  }
})

test('tabs of one device write one after the other', { skip }, async () => {
  const { client, keys, did } = await member()
  const second = new ICNClient({ baseUrl: node.url, keys, pause: 1 })
  const pay = (c: ICNClient, amount: number): Promise<unknown> => c.ledger.transfer({ space: node.space, to: node.did, currency: 'hours', amount })
  await Promise.all([1, 2, 3, 4, 5, 6].map((n) => pay(n % 2 ? client : second, n)))
  const { entries } = await client.ledger.history({ space: node.space, did })
  assert.equal(entries?.length, 6)
})

test('what happens is told, from where one stopped listening', { skip }, async () => {
  const { client, did, pay } = await member()
  const { space } = node
  const stop = new AbortController()
  const types: string[] = []
  let cursor = ''
  const listen = (async () => {
    for await (const e of client.event.stream({ space, types: ['ledger.*'] }, { signal: stop.signal })) {
      if (e.author !== did) continue
      types.push(e.type)
      cursor = e.cursor
      stop.abort()
    }
  })().catch((err: unknown) => assert(err instanceof ICNError && err.kind === 'aborted', String(err)))
  for (let n = 1; types.length === 0 && n < 50; n++) {
    await pay(n, '') // until the stream is open
    await new Promise((ok) => setTimeout(ok, 100))
  }
  await listen
  assert.match(types[0]!, /^ledger\./)
  const last = await pay(99, 'last')
  for await (const e of client.event.stream({ space, after: cursor })) if (e.record?.id === last) break
})
