/** A second device of a member, let in by the first. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ICNClient, ICNError, MemoryKeyStore, type Pairing, Phrase } from '../../src/index.js'
import { decode, encode, parseAuth, toBase64 } from '../../src/record/index.js'
import { type Daemon, eventually, member, missing, type Somebody, start } from './daemon.js'
import { payloadOf, readPayload } from '../fake/payload.js'

const skip = missing() ?? false
let node: Daemon

before(async () => {
  if (!skip) node = await start()
})
after(() => node?.stop())

interface Asking {
  client: ICNClient
  keys: MemoryKeyStore
  asked: Pairing
}

async function asking(label = 'Tablet'): Promise<Asking> {
  const keys = new MemoryKeyStore()
  const client = new ICNClient({ baseUrl: node.url, keys, pause: 1 })
  return { client, keys, asked: await client.pairDevice({ label }) }
}

const rule = (kind: string, rule: string) => (err: unknown) => err instanceof ICNError && err.kind === kind && err.reason?.rule === rule && err.remedy !== ''
const wrong = (code: string): string => (code === '000000' ? '000001' : '000000')

test('a second device is let in by its picture, reads, and pays what was set aside for it', { skip }, async () => {
  const { space } = node
  const phone: Somebody = await member(node)
  await phone.pay(50, 'before')
  const tablet = await asking()
  const { payload, code, device } = tablet.asked
  const seen = await phone.client.showPairing(payload)
  assert.deepEqual([seen.device, seen.label, seen.did], [device, 'Tablet', phone.did])

  const phrase = Phrase.parse(phone.words)
  const let1 = { code, phrase, allot: { space, currency: 'hours', amount: 200 } }
  const [session, granted] = await Promise.all([tablet.asked.done(), phone.client.letIn(payload, let1)])
  assert.equal(granted.device, device)
  const again = await phone.client.letIn(payload, let1)
  assert.equal(again.allotted?.receipt.position.id, granted.allotted?.receipt.position.id, 'the same call does nothing twice')
  assert.deepEqual([session.did, session.device, session.scopes], [phone.did, device, granted.scopes])
  const kept = (await tablet.keys.member())!
  assert.deepEqual([kept.did, kept.device.key, parseAuth(kept.auth).role, tablet.client.auth.session], [phone.did, device, 'secondary', session])
  const { sessions } = await tablet.client.auth.sessions({})
  assert.deepEqual(sessions?.map((s) => s.label).sort(), ['Tablet', undefined].sort(), 'it has the login that was granted, and no other')

  const { entries } = await tablet.client.ledger.history({ space, did: phone.did })
  assert.equal(entries?.length, 1)
  await eventually(() => tablet.client.ledger.transfer({ space, to: node.did, currency: 'hours', amount: 75, memo: 'from the tablet' }))
  await assert.rejects(tablet.client.ledger.transfer({ space, to: node.did, currency: 'hours', amount: 126 }), rule('refused', 'over-allotment'))
  const { allotments } = await phone.client.ledger.allotments({ space, did: phone.did })
  assert.deepEqual(allotments?.map((a) => [a.device, a.given, a.left]), [[device, 200, 125]])

  // A page that is loaded anew logs in with the key, and both devices go on: the first one also lets a third in.
  const reloaded = new ICNClient({ baseUrl: node.url, keys: tablet.keys, pause: 1 })
  assert.equal((await reloaded.auth.login()).device, device)
  await phone.pay(10, 'after')
  const laptop = await asking('Laptop')
  await phone.client.letIn(laptop.asked.payload, { code: laptop.asked.code, phrase })
  await laptop.asked.done()
  assert.deepEqual(parseAuth((await laptop.keys.member())!.auth).devices.length, 3, 'one log of all')
  await assert.rejects(laptop.client.ledger.transfer({ space, to: node.did, currency: 'hours', amount: 1 }), rule('refused', 'other-device'))
})

/** A fetch whose answers to a path are what f makes of them, when it makes something of them; undefined: they are lost. */
function changing(path: string, f: (answer: Record<string, unknown>) => Record<string, unknown> | undefined): typeof fetch {
  return async (url, init) => {
    const res = await fetch(url, init)
    if (!String(url).endsWith(path) || !res.ok) return res
    const changed = f((await res.json()) as Record<string, unknown>)
    if (!changed) throw new TypeError('the connection was reset')
    return Response.json(changed)
  }
}

test('answers that are lost keep no device out', { skip }, async () => {
  let [claims, approvals] = [0, 0]
  const phone = await member(node, { fetch: changing('/auth/approve', (a) => (approvals++ === 0 ? undefined : a)) })
  await phone.pay(1, '')
  const keys = new MemoryKeyStore()
  const client = new ICNClient({ baseUrl: node.url, keys, pause: 1, fetch: changing('/auth/claim', (a) => (a.state === 'granted' && claims++ === 0 ? undefined : a)) })
  const asked = await client.pairDevice({ label: 'Tablet' })
  const lets = { code: asked.code, phrase: Phrase.parse(phone.words) }
  await assert.rejects(phone.client.letIn(asked.payload, lets), (err: unknown) => err instanceof ICNError && err.kind === 'network')
  assert.equal((await phone.client.letIn(asked.payload, lets)).device, asked.device)
  assert.equal((await asked.done()).device, asked.device)
  assert.deepEqual([approvals, claims], [2, 2])
  assert.equal(parseAuth((await phone.keys.member())!.auth).devices.length, 2, 'it was certified once')
})

test('a node that has another device let in is caught', { skip }, async () => {
  const caught = (err: unknown): boolean => err instanceof ICNError && err.kind === 'mismatch'
  const phone = await member(node, { fetch: changing('/auth/pairing', (a) => ({ ...a, device: node.did.length.toString(16).padStart(64, '0') })) })
  await phone.pay(1, '')
  const phrase = Phrase.parse(phone.words)
  const other = await asking()
  await assert.rejects(phone.client.letIn(other.asked.payload, { code: other.asked.code, phrase }), caught)
  const client = (path: string, change: (a: Record<string, unknown>) => Record<string, unknown>): ICNClient =>
    new ICNClient({ baseUrl: node.url, keys: new MemoryKeyStore(), pause: 1, fetch: changing(path, change) })
  const p = readPayload(other.asked.payload)
  await assert.rejects(client('/auth/pair', (a) => ({ ...a, uri: other.asked.payload })).pairDevice(), caught, 'a picture of another device')
  await assert.rejects(client('/auth/pair', (a) => ({ ...a, uri: payloadOf(phone.did, p.audience, readPayload(a.uri as string).sealed) })).pairDevice(), caught, 'a picture of another node')
  await assert.rejects(client('/auth/pair', (a) => ({ ...a, message: null })).pairDevice(), caught, 'nothing to sign')
  const first = (await phone.keys.member())!.auth
  const given = client('/auth/claim', (a) => ({ ...a, state: 'granted', auth: toBase64(first) }))
  await assert.rejects((await given.pairDevice()).done(), caught, 'what certifies another device')
  assert.deepEqual((await phone.keys.member())!.auth, first)
})

test('who types other digits, or has another phrase, lets nobody in', { skip }, async () => {
  const phone = await member(node)
  await phone.pay(1, '')
  const before = (await phone.keys.member())!.auth
  const phrase = Phrase.parse(phone.words)
  const { asked, keys } = await asking()
  await assert.rejects(phone.client.letIn(asked.payload, { code: asked.code, phrase: Phrase.generate() }), rule('refused', 'wrong-phrase'))
  const done = asked.done()
  for (let i = 0; i < 3; i++) await assert.rejects(phone.client.letIn(asked.payload, { code: wrong(asked.code), phrase }), rule('refused', 'wrong-code'))
  await assert.rejects(done, rule('refused', 'turned-away'))
  await assert.rejects(phone.client.letIn(asked.payload, { code: asked.code, phrase }), rule('refused', 'no-pairing'))
  assert.deepEqual((await phone.keys.member())!.auth, before, 'nothing was certified')
  assert.equal(await keys.member(), undefined, 'and nothing kept')

  const denied = await asking()
  await phone.client.auth.approve({ pairing: (await phone.client.showPairing(denied.asked.payload)).pairing, deny: true })
  await assert.rejects(denied.asked.done(), rule('refused', 'turned-away'))
})

test('a payload that was changed, has expired, or is of another node lets nobody in', { skip }, async (t) => {
  const phone = await member(node)
  const phrase = Phrase.parse(phone.words)
  const { asked } = await asking()
  const thief = await asking('Thief')
  const lets = (payload: string) => phone.client.letIn(payload, { code: asked.code, phrase })
  await assert.rejects(lets(asked.payload.slice(0, -1)), (err: unknown) => err instanceof ICNError && err.kind === 'invalid')
  const [p, q] = [readPayload(asked.payload), readPayload(thief.asked.payload)]
  const mine = decode(p.sealed.subarray(0, -16)) as unknown[]
  const body = encode([mine[0] as Uint8Array, q.device, ...(mine.slice(2) as [string, bigint])])
  const swapped = payloadOf(p.node, p.audience, Uint8Array.from([...body, ...p.sealed.subarray(-16)]))
  await assert.rejects(lets(swapped), rule('refused', 'no-pairing'), 'the key of somebody else in the payload')
  await assert.rejects(lets(thief.asked.payload), rule('refused', 'wrong-code'), "somebody else's payload, with the digits of one's own screen")

  const other = await start()
  t.after(() => other.stop())
  const there = await new ICNClient({ baseUrl: other.url, keys: new MemoryKeyStore(), pause: 1 }).pairDevice()
  await assert.rejects(phone.client.letIn(there.payload, { code: there.code, phrase }), rule('refused', 'other-node'))
  await assert.rejects(phone.client.showPairing(payloadOf(p.node, p.audience, readPayload(there.payload).sealed)), rule('refused', 'no-pairing'))

  const now = Date.now.bind(Date)
  const later = t.mock.method(Date, 'now', () => now() + 5 * 60_000 + 1000)
  await assert.rejects(lets(asked.payload), rule('refused', 'no-pairing'))
  await assert.rejects(asked.done(), rule('refused', 'no-pairing'))
  later.mock.restore()
  await node.kill()
  await node.again()
  await assert.rejects(lets(asked.payload), rule('refused', 'no-pairing'), 'a node that was started again knows no pairing')
})
