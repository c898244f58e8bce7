import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { createMember, dateOf, ICNClient, type ICNClientOptions, ICNError, type ErrorKind, MemoryKeyStore, type Timestamp } from '../src/index.js'
import { decodeEnvelope } from '../src/record/index.js'
import { parseJSON, stringifyJSON } from '../src/json.js'
import { indexKinds } from '../src/describe.js'
import { kinds } from '../src/gen/kinds.js'
import { HTTP } from '../src/http.js'
import { Writer } from '../src/write.js'
import { FakeNode, space } from './fake/node.js'

const to = 'did:icn:586Z7H2vpX9qNhN2T4e9Utugie3ogjbxzGaMtM3E6HR5'
const payment = { space, to, currency: 'hours', amount: 5, memo: 'bread' }

async function setup(t: TestContext, options: Partial<ICNClientOptions> = {}): Promise<{ node: FakeNode; keys: MemoryKeyStore; client: ICNClient; did: string }> {
  const node = new FakeNode()
  await node.start()
  t.after(() => node.stop())
  const keys = new MemoryKeyStore()
  const { member } = await createMember(keys)
  return { node, keys, client: new ICNClient({ baseUrl: node.url, keys, pause: 1, ...options }), did: member.did }
}

async function refused(p: PromiseLike<unknown>, kind: ErrorKind, words?: RegExp): Promise<ICNError> {
  try {
    await p
  } catch (err) {
    assert(err instanceof ICNError, String(err))
    assert.equal(err.kind, kind, err.message)
    if (words) assert.match(err.message, words)
    return err
  }
  return assert.fail(`nothing was refused; want ${kind}`)
}

test('a payment is prepared, looked at, signed and sent, and the operation answers', async (t) => {
  const { node, client, keys } = await setup(t)
  const out = await client.ledger.transfer(payment)
  assert.equal(out.balance, -5)
  assert.equal(node.stored.size, 1)
  const e = decodeEnvelope([...node.stored.values()][0]!)
  assert.equal(e.kind, 'transfer')
  assert.equal(out.receipt.position.id, e.id)
  assert.deepEqual(await keys.pending(), [])
  await client.ledger.transfer(payment) // the same input, another request
  assert.equal(node.stored.size, 2)
  assert.equal(node.logins, 1)
})

test('what a liar prepares is not signed', async (t) => {
  type Draft = Parameters<NonNullable<FakeNode['tamper']>>[0]
  const lies: Record<string, [(d: Draft) => void, ErrorKind, RegExp]> = {
    amount: [(d) => (d.body[2] = 500), 'mismatch', /amount is "500", not 5/],
    receiver: [(d) => (d.body[0] = 'did:icn:11111111111111111111111111111112'), 'mismatch', /to is/],
    memo: [(d) => (d.body[3] = 'debt'), 'mismatch', /memo is/],
    kind: [(d) => Object.assign(d, { kind: 'allot', body: [new Uint8Array(32).fill(1), 'hours', 5] }), 'mismatch', /kind allot, which that operation does not make/],
    'unknown kind': [(d) => (d.kind = 'promise'), 'unsupported', /does not know what the record says/],
    'malformed body': [(d) => d.body.pop(), 'unsupported', /form of its kind/],
    topic: [(d) => (d.topic = 'space'), 'unsupported', /do not sign/],
    space: [(d) => (d.space = 'bb'.repeat(32)), 'mismatch', /in the space/],
    device: [(d) => Object.assign(d, { device: 'cc'.repeat(32), seq: 2n, prev: 'dd'.repeat(32) }), 'mismatch', /another device/],
    place: [(d) => Object.assign(d, { seq: 9n, prev: 'dd'.repeat(32) }), 'mismatch', /signed nothing/],
    time: [(d) => (d.time = 0n), 'mismatch', /not now/],
    'a time to come': [(d) => (d.time += BigInt(2 * 60 * 60 * 1000) << 16n), 'mismatch', /not now/],
  }
  for (const [what, [lie, kind, words]] of Object.entries(lies)) {
    await t.test(what, async (t) => {
      const { node, client } = await setup(t)
      node.tamper = lie
      await refused(client.ledger.transfer(payment), kind, words)
      assert.equal(node.count('/records/submit'), 0)
    })
  }
  await t.test('a memo that nobody asked for', async (t) => {
    const { node, client } = await setup(t)
    node.tamper = (d) => (d.body[3] = 'debt')
    const { memo: _, ...plain } = payment
    await refused(client.ledger.transfer(plain), 'mismatch', /filled in memo/)
  })
  await t.test('a place that was signed before', async (t) => {
    const { node, client } = await setup(t)
    await client.ledger.transfer(payment)
    const feed = [...node.feeds.keys()][0]!
    node.feeds.set(feed, { tip: 0n, id: '' })
    node.tamper = (d) => {
      d.seq = 1n
      delete d.prev
    }
    await refused(client.ledger.transfer({ ...payment, amount: 6 }), 'conflict', /does not know the newest record/)
    node.tamper = (d) => Object.assign(d, { seq: 3n, prev: 'dd'.repeat(32) })
    await refused(client.ledger.transfer({ ...payment, amount: 6 }), 'mismatch', /does not follow/)
    assert.equal(node.count('/records/submit'), 1)
  })
})

test('confirm sees what is signed, and what the node filled in; no means no', async (t) => {
  const seen: [string, readonly string[]][] = []
  let answer = true
  const { node, client } = await setup(t, {
    confirm: (d, unasked) => {
      seen.push([d.text, unasked])
      return answer
    },
  })
  await client.ledger.transfer(payment)
  assert.deepEqual(seen, [[`Pay 5 minor units of hours to ${to} for "bread".`, []]])
  answer = false
  await refused(client.ledger.transfer(payment), 'aborted', /not signed: Pay 5/)
  assert.equal(node.stored.size, 1)
})

test('after a lost answer the same bytes go out, and nothing else is signed', async (t) => {
  for (const fault of ['lose', 'drop'] as const) {
    const { node, client } = await setup(t)
    node.fail('/records/submit', fault, fault)
    await client.ledger.transfer(payment)
    const sent = node.asked.filter((a) => a.path === '/records/submit').map((a) => (a.body.records as string[])[0])
    assert.equal(sent.length, 3)
    assert.equal(new Set(sent).size, 1)
    assert.equal(node.stored.size, 1)
  }
})

test('a call that failed for want of an answer is repeated by calling again', async (t) => {
  for (const fault of ['lose', 'drop'] as const) {
    const { node, client, keys } = await setup(t, { retries: 0 })
    node.fail('/records/submit', fault)
    const err = await refused(client.ledger.transfer(payment), 'network')
    assert(err.pending)
    assert.equal((await client.pending()).length, 1)
    const out = await client.ledger.transfer(payment)
    assert.equal(out.balance, -5)
    assert.equal(node.stored.size, 1, 'one payment was asked for')
    assert.deepEqual(await keys.pending(), [])
    await client.ledger.transfer(payment)
    assert.equal(node.stored.size, 2)
  }
})

test('a payment that stands is not made again when only its answer was lost', async (t) => {
  const { node, client } = await setup(t, { retries: 0 })
  node.fail('/records/prepare', 'none', 'lose')
  const err = await refused(client.ledger.transfer(payment), 'network')
  assert(err.pending && err.receipt !== undefined)
  assert.equal((await client.ledger.transfer(payment)).balance, -5)
  assert.equal(node.stored.size, 1)
  assert.deepEqual(await client.pending(), [])
})

test('the same call a good while later is another one', async (t) => {
  const { node, client, keys } = await setup(t, { retries: 0 })
  node.fail('/records/submit', 'drop')
  await refused(client.ledger.transfer(payment), 'network')
  const [left] = await keys.pending()
  await keys.setSigned({ ...left!, request: { ...left!.request!, at: Date.now() - 11 * 60_000 } })
  await client.ledger.transfer(payment)
  assert.equal(node.stored.size, 2, 'what was left, and what is asked for now')
})

test('another write sends first what was left', async (t) => {
  const { node, client } = await setup(t, { retries: 0 })
  node.fail('/records/submit', 'drop')
  await refused(client.ledger.transfer(payment), 'network')
  await client.ledger.transfer({ ...payment, amount: 7 })
  assert.equal(node.stored.size, 2)
  assert.deepEqual([...node.stored.values()].map((e) => decodeEnvelope(e).seq), [1n, 2n])
  node.fail('/records/submit', 'drop')
  await refused(client.ledger.transfer(payment), 'network')
  assert.equal(await client.settle(), 1)
  assert.equal(node.stored.size, 3)
})

test('a record that the node refuses for now keeps its place', async (t) => {
  const { node, client } = await setup(t)
  node.fail('/records/submit', { status: 403, code: 'refused', extra: { reason: { domain: 'kernel', rule: 'x', text: 'no', remedy: 'ask' }, refusal: 'r-1' } })
  const err = await refused(client.ledger.transfer(payment), 'refused')
  assert.deepEqual([err.pending, err.remedy, err.refusal, err.status], [true, 'ask', 'r-1', 403])
  await client.ledger.transfer({ ...payment, amount: 7 })
  assert.deepEqual([...node.stored.values()].map((e) => decodeEnvelope(e).seq), [1n, 2n])
})

test('a record without effect has its place all the same, and the next one follows it', async (t) => {
  for (const later of [false, true]) {
    const { node, client, keys } = await setup(t, { retries: 0 })
    node.void = 1
    if (later) node.fail('/records/submit', 'drop')
    const err = await refused(client.ledger.transfer(payment), later ? 'network' : 'refused')
    assert.deepEqual([err.pending, err.receipt], [later, undefined])
    if (!later) assert.equal(err.reason?.rule, 'cut')
    const out = await client.ledger.transfer({ ...payment, amount: 7 })
    assert.equal(out.balance, -5)
    assert.deepEqual([...node.stored.values()].map((e) => decodeEnvelope(e).seq), [1n, 2n])
    assert.deepEqual(await keys.pending(), [])
  }
})

test('a record that is never taken keeps its own feed from being written in, and no other', async (t) => {
  const { node, client, keys } = await setup(t)
  const no = { status: 403, code: 'refused', extra: { reason: { domain: 'kernel', rule: 'not-a-member', text: 'no' } } } as const
  node.fail('/records/submit', no)
  await refused(client.ledger.transfer(payment), 'refused')
  node.fail('/records/submit', no)
  const err = await refused(client.ledger.transfer({ ...payment, amount: 7 }), 'refused')
  assert.equal(err.reason?.rule, 'not-a-member')
  node.fail('/records/submit', no)
  node.tamper = (d) => Object.assign(d, { space: 'ee'.repeat(32) })
  await client.ledger.transfer({ ...payment, space: 'ee'.repeat(32) })
  assert.equal(node.stored.size, 1)
  assert.equal((await keys.pending()).length, 1)
})

test('a place that is taken is prepared anew, with the preparation that the answer has', async (t) => {
  const { node, client } = await setup(t)
  await client.ledger.transfer(payment)
  const feed = [...node.feeds.keys()][0]!
  let once = true
  node.tamper = () => {
    if (once) queueMicrotask(() => node.usurp(feed)) // between the preparation and the submission
    once = false
  }
  const prepared = node.count('/records/prepare')
  await client.ledger.transfer({ ...payment, amount: 9 })
  assert.equal(node.stored.size, 2)
  assert.equal(decodeEnvelope([...node.stored.values()][1]!).seq, 3n)
  assert.equal(node.count('/records/prepare') - prepared, 2, 'once to begin with, once for the answer')
})

test('a node that has the record itself and says that its place is taken gets no second one', async (t) => {
  const { node, client } = await setup(t)
  node.fail('/records/submit', 'deny')
  await refused(client.ledger.transfer(payment), 'mismatch', /another one has its place/)
  assert.equal(node.stored.size, 1)
})

test('writes of one device go one after the other', async (t) => {
  const { node, client, keys } = await setup(t)
  const second = new ICNClient({ baseUrl: node.url, keys, pause: 1 })
  await Promise.all([1, 2, 3, 4, 5, 6].map((n) => (n % 2 ? client : second).ledger.transfer({ ...payment, amount: n })))
  assert.deepEqual([...node.stored.values()].map((e) => decodeEnvelope(e).seq), [1n, 2n, 3n, 4n, 5n, 6n])
})

test('an operation with several records has them all signed, and one that has one never two', async (t) => {
  const { node, client, keys } = await setup(t)
  await client.auth.login()
  const token = await client.auth.token()
  const http = new HTTP({ baseUrl: node.url })
  const writer = new Writer(keys, indexKinds(kinds), (op, path, body) => http.json({ op, method: 'POST', path, body, repeatable: true, headers: { authorization: `Bearer ${token}` } }), () => assert.fail('no record is asked for'))
  const grant = { operation: 'ledger.grant', input: { space, to, limit: 100 }, idempotency: undefined, wait: undefined, confirm: () => true, signal: undefined }
  node.several = 3
  await writer.write({ ...grant, several: true })
  assert.equal(node.stored.size, 3)
  node.several = 3
  const out = (await writer.write({ ...grant, several: false })) as { receipt: unknown }
  assert.equal(node.stored.size, 4)
  assert.notEqual(out.receipt, undefined)
})

test('an operation of which nobody knew that it signs is signed all the same', async (t) => {
  const { node, client } = await setup(t, { confirm: () => true })
  node.fail('/peers/cut', { status: 501, code: 'unsupported', extra: { reason: { domain: 'kernel', rule: 'key-elsewhere', text: 'no key' } } })
  node.tamper = (d) => Object.assign(d, { kind: 'transfer', body: [to, 'hours', 5, '', '', []] })
  await client.call('peer.cut', { to })
  assert.equal(node.stored.size, 1)
})

test('the level that was not reached is an error, and the record stands', async (t) => {
  const { node, client, keys } = await setup(t)
  const err = await refused(client.ledger.transfer(payment, { wait: 'final' }), 'timeout', /not final yet/)
  assert.notEqual(err.receipt, undefined)
  assert.equal(node.stored.size, 1)
  assert.deepEqual(await keys.pending(), [])
})

test('the same idempotency key gets the first answer', async (t) => {
  const { node, client } = await setup(t)
  await client.ledger.transfer(payment, { idempotency: 'order-1' })
  const again = await client.ledger.transfer(payment, { idempotency: 'order-1' })
  assert.equal(again.balance, -5)
  assert.equal(node.stored.size, 1)
})

test('a login message for something else is not signed', async (t) => {
  const lies: Record<string, [(p: unknown[], node: FakeNode) => void, RegExp]> = {
    purpose: [(p) => (p[0] = 'icn-record'), /something else than a login/],
    node: [(p) => (p[1] = to), /is for the node/],
    audience: [(p) => (p[2] = 'https://bank.example'), /not for http/],
    did: [(p) => (p[3] = to), /is for did:icn/],
    device: [(p) => (p[4] = new Uint8Array(32)), /another device/],
    nonce: [(p) => (p[5] = new Uint8Array(16)), /one of a kind/],
    expired: [(p) => (p[6] = Date.now() - 1), /has expired/],
    'for ever': [(p) => (p[6] = Date.now() + 1e9), /holds too long/],
    form: [(p) => p.push('more'), /another form/],
  }
  for (const [what, [lie, words]] of Object.entries(lies)) {
    await t.test(what, async (t) => {
      const { node, keys } = await setup(t)
      node.lie = (p) => lie(p, node)
      const client = new ICNClient({ baseUrl: node.url, keys, node: node.did })
      await refused(client.auth.login(), 'mismatch', words)
      assert.equal(node.count('/auth/verify'), 0)
    })
  }
})

test('the audience is the address, the DID of a node that is known, or what was configured', async (t) => {
  const { node, keys } = await setup(t)
  const login = (o: object): Promise<unknown> => new ICNClient({ baseUrl: node.url, keys, ...o }).auth.login()
  await login({})
  node.audience = node.url
  await login({})
  node.audience = 'https://coop.example'
  await refused(login({}), 'mismatch', /give ICNClient/)
  await login({ audience: 'https://coop.example' })
  // Elsewhere than on this machine a node that says nothing but its DID could stand before another.
  const far = (o: object): Promise<unknown> => {
    const proxied: typeof fetch = (url, init) => fetch(String(url).replace('http://far.example', node.url), init)
    return new ICNClient({ baseUrl: 'http://far.example', keys, fetch: proxied, ...o }).auth.login()
  }
  node.audience = undefined
  await refused(far({}), 'mismatch', /give ICNClient the node's DID/)
  await far({ node: node.did })
})

test('a token is renewed before it ends, once for all, and made anew when the session is over', async (t) => {
  const { node, client } = await setup(t)
  node.tokenSeconds = 1
  await client.auth.login({ label: 'test' })
  node.tokenSeconds = 900
  await Promise.all([1, 2, 3].map(() => client.ledger.balance({ did: to })))
  assert.deepEqual([node.logins, node.refreshes], [1, 1])
  node.tokens.clear() // revoked elsewhere
  await Promise.all([1, 2, 3].map(() => client.ledger.balance({ did: to })))
  assert.deepEqual([node.logins, node.refreshes], [2, 2])
  assert.equal(client.auth.session?.session, 'ab'.repeat(16))
  await client.auth.logout()
  assert.equal(client.auth.session, undefined)
  await refused(client.ledger.balance({ did: to }), 'unauthenticated')
  await client.auth.login()
  await client.ledger.balance({ did: to })
})

test('integers beyond 2^53 come as they are', async (t) => {
  const { client } = await setup(t)
  const out = (await client.ledger.balance({ did: to })) as unknown as { balance: bigint; small: number; did: string }
  assert.deepEqual([out.balance, out.small, out.did], [1n << 60n, 5, to])
  for (const text of ['{"a":[12345678901234567890,-12345678901234567890,"12345678901234567890","\\\\",1.5,"a\\"99999999999999999999"]}', '9007199254740991', '"\\u0000n5"']) {
    assert.equal(stringifyJSON(parseJSON(text)), text)
  }
})

test('a list is a page, or all pages', async (t) => {
  const { node, client } = await setup(t)
  const page = await client.ledger.history()
  assert.deepEqual(page.entries, [{ n: 0 }, { n: 1 }])
  const all: unknown[] = []
  for await (const e of client.ledger.history()) all.push((e as unknown as { n: number }).n)
  assert.deepEqual(all, [0, 1, 2, 3, 4])
  let pages = 0
  for await (const _ of client.ledger.history({ limit: 2 }).pages()) pages++
  assert.equal(pages, 3)
  assert.equal(node.asked.at(-1)!.query.get('limit'), '2')
})

test('a stream goes on where it was cut', async (t) => {
  const { node, client } = await setup(t)
  node.events = Array.from({ length: 7 }, (_, n) => ({ cursor: `c${n}`, n }))
  node.cut = 3
  const got: number[] = []
  const stop = new AbortController()
  const err = await refused(
    (async () => {
      for await (const e of client.topic.tail({ topic: `${space}/ledger` }, { signal: stop.signal })) {
        got.push((e as unknown as { n: number }).n)
        if (got.length === 7) stop.abort()
      }
    })(),
    'aborted',
  )
  assert.equal(err.transient, false)
  assert.deepEqual(got, [0, 1, 2, 3, 4, 5, 6])
  // Three streams at least: a slow reader may have lost the end of one when it was cut, and has that from the next.
  const from = node.asked.filter((a) => a.path === '/topics/tail').map((a) => Number(a.headers['last-event-id']?.slice(1) ?? -1))
  assert.equal(from.length >= 3 && from[0] === -1 && from.at(-1)! > 2 && from.at(-1)! < 6, true, `went on behind ${from}`)
  assert.deepEqual(from, from.toSorted((a, b) => a - b))
  for await (const _ of client.topic.tail({ topic: 'x' })) break // leaving the loop closes the connection
})

test('a stream outlives its token, and ends when the node says so', async (t) => {
  const { node, client } = await setup(t)
  node.events = [{ cursor: 'c0', n: 0 }]
  node.ends = true
  node.expire = 1
  const got: unknown[] = []
  for await (const e of client.topic.tail({ topic: 'x' })) got.push(e)
  assert.deepEqual(got, [{ cursor: 'c0', n: 0 }])
  assert.equal(node.logins, 2)
  node.expire = 2
  await refused((async () => {
    for await (const _ of client.topic.tail({ topic: 'x' })) assert.fail('nothing comes')
  })(), 'unauthenticated')
})

test('what may be repeated is, and nothing else', async (t) => {
  const { node, client } = await setup(t)
  await client.auth.login()
  node.fail('/peers/cut', { status: 503, after: 0 }, 'drop', { status: 429, code: 'rate-limited' })
  const out = (await client.peer.cut()) as { key: string }
  const sent = node.asked.filter((a) => a.path === '/peers/cut')
  assert.equal(sent.length, 4)
  assert.equal(new Set(sent.map((a) => a.headers['idempotency-key'])).size, 1)
  assert.equal(out.key, sent[0]!.headers['idempotency-key'])
  node.fail('/state/verify', { status: 503 })
  await refused(client.state.verify(), 'unavailable')
  assert.equal(node.count('/state/verify'), 1, 'a POST without a key')
  node.fail('/ledger/history', { status: 400, code: 'invalid' })
  await refused(client.ledger.history(), 'invalid')
  assert.equal(node.count('/ledger/history'), 1, 'what is wrong stays wrong')
  node.fail('/ledger/history', { status: 503, after: 3600 })
  const late = await refused(client.ledger.history(), 'unavailable')
  assert.equal(late.retryAfter, 3600)
  assert.equal(node.count('/ledger/history'), 2, 'who is asked to come back in an hour does not wait here')
})

test('errors keep what the node says', async (t) => {
  const { node, client } = await setup(t)
  node.fail('/ledger/history', { status: 418, code: 'teapot' }, { body: '<html>' })
  assert.equal((await refused(client.ledger.history(), 'internal')).status, 418)
  await refused(client.ledger.history(), 'internal', /not JSON/)
  await refused(client.ledger.balance({ did: '' }), 'invalid', /did is missing/)
  await refused((async () => client.call('no.such'))(), 'not-found')
  await refused((async () => new ICNClient({ baseUrl: 'coop' }))(), 'invalid', /baseUrl/)
  const gone = new ICNClient({ baseUrl: 'http://127.0.0.1:1', token: 'x', retries: 1, pause: 1 })
  const err = await refused(gone.node.status(), 'network')
  assert(err.transient && err.remedy.length > 0)
})

test('a caller can give up, and time ends', async (t) => {
  const never: typeof fetch = (_, init) => new Promise((_, no) => init!.signal!.addEventListener('abort', () => no(new Error('aborted'))))
  const client = new ICNClient({ baseUrl: 'http://n.example', token: 'x', fetch: never, retries: 0, timeout: 5 })
  await refused(client.node.status(), 'timeout')
  const stop = new AbortController()
  const p = refused(client.node.status({}, { signal: stop.signal, timeout: 60_000 }), 'aborted')
  stop.abort()
  await p
  await refused(client.node.status({}, { signal: AbortSignal.abort() }), 'aborted')
  t.diagnostic('nothing hangs')
})

test('the time of a receipt is the one that was signed, to the last bit', async (t) => {
  const { node, client } = await setup(t)
  const { receipt } = await client.ledger.transfer(payment)
  const signed = decodeEnvelope([...node.stored.values()][0]!).time
  const time: Timestamp = receipt.time
  assert.equal(time, signed)
  assert.equal(typeof time, 'bigint', 'a number would have lost the counter')
  assert.equal(dateOf(time).getTime(), Number(signed >> 16n))
  assert.equal(dateOf(0).getTime(), 0)
  assert.equal(dateOf((1n << 64n) - 1n).getTime(), 2 ** 48 - 1)
})
