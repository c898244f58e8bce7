import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { createMember, type ErrorKind, ICNClient, ICNError, MemoryKeyStore, type SocketClass } from '../src/index.js'
import { FakeNode } from './fake/node.js'

/** What each socket does once somebody listens, in the order in which they are opened. */
type Script = (s: FakeSocket) => void

class FakeSocket extends EventTarget {
  closed = false
  constructor(readonly url: string, readonly protocols: string[]) {
    super()
  }

  open(): this {
    this.dispatchEvent(new Event('open'))
    return this
  }

  say(...items: unknown[]): this {
    for (const i of items) this.dispatchEvent(new MessageEvent('message', { data: typeof i === 'string' ? i : JSON.stringify(i) }))
    return this
  }

  end(code: number, reason = ''): void {
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason }))
  }

  close(): void {
    this.closed = true
  }
}

async function setup(t: TestContext, ...scripts: Script[]): Promise<{ node: FakeNode; client: ICNClient; opened: FakeSocket[] }> {
  const node = new FakeNode()
  await node.start()
  t.after(() => node.stop())
  const keys = new MemoryKeyStore()
  await createMember(keys)
  const opened: FakeSocket[] = []
  const webSocket = class extends FakeSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols)
      const script = scripts[Math.min(opened.push(this), scripts.length) - 1]!
      setTimeout(() => script(this))
    }
  } as unknown as SocketClass
  return { node, client: new ICNClient({ baseUrl: node.url, keys, pause: 1, transport: 'ws', webSocket }), opened }
}

async function all(client: ICNClient): Promise<number[]> {
  const got: number[] = []
  for await (const e of client.topic.tail({ topic: 'x' })) got.push((e as unknown as { n: number }).n)
  return got
}

test('a WebSocket goes on where it was cut, with the token beside the URL and not in it', async (t) => {
  const { client, opened } = await setup(
    t,
    (s) => s.open().say({ cursor: 'c0', n: 0 }, { cursor: 'c1', n: 1 }).end(1006),
    (s) => s.open().say({ cursor: 'c2', n: 2 }).end(1001),
    (s) => s.open().say({ cursor: 'c3', n: 3 }).end(4503, 'unavailable: slow'),
    (s) => s.open().end(1000),
  )
  assert.deepEqual(await all(client), [0, 1, 2, 3])
  assert.deepEqual(opened.map((s) => new URL(s.url).searchParams.get('after')), [null, 'c1', 'c2', 'c3'])
  for (const s of opened) {
    assert.match(s.url, /^ws:\/\/127\.0\.0\.1:\d+\/api\/v1\/topics\/tail\?topic=x(&after=c\d)?$/)
    assert.deepEqual(s.protocols, ['icn.v1', `icn.bearer.${await client.auth.token()}`])
    assert(s.closed, 'nothing stays open')
  }
})

test('why the node ends a WebSocket is an error of its kind', async (t) => {
  const cases: [number, string, ErrorKind][] = [
    [4403, 'refused: no member', 'refused'], [4404, 'not-found: no such topic', 'not-found'], [1011, 'internal: oops', 'internal'], [4400, '', 'invalid'],
  ]
  for (const [code, reason, kind] of cases) {
    await t.test(`${code}`, async (t) => {
      const { client } = await setup(t, (s) => s.open().end(code, reason))
      await assert.rejects(all(client), (err: unknown) => err instanceof ICNError && err.kind === kind && (reason === '' || err.message === reason.split(': ')[1]))
    })
  }
})

test('a token that ends is renewed, once', async (t) => {
  const { node, client, opened } = await setup(
    t,
    (s) => {
      node.tokens.clear()
      s.open().end(4401, 'unauthenticated: over')
    },
    (s) => s.open().say({ cursor: 'c', n: 1 }).end(1000),
  )
  assert.deepEqual(await all(client), [1])
  assert.notDeepEqual(opened[0]!.protocols, opened[1]!.protocols)
})

test('where no WebSocket can be opened, events come, and so does what the node says', async (t) => {
  const { node, client, opened } = await setup(t, (s) => s.end(1006))
  node.events = [{ cursor: 'c0', n: 5 }]
  node.ends = true
  assert.deepEqual(await all(client), [5])
  assert.equal(opened.length, 1)
  node.fail('/topics/tail', { status: 403, code: 'refused' })
  await assert.rejects(all(client), (err: unknown) => err instanceof ICNError && err.kind === 'refused')
})

test('what nobody takes is not kept without bound, and is not lost', async (t) => {
  const flood = Array.from({ length: 3000 }, (_, n) => ({ cursor: `c${n}`, n }))
  const after = (s: FakeSocket): number => Number((new URL(s.url).searchParams.get('after') ?? 'c-1').slice(1)) + 1
  const { client, opened } = await setup(t, (s) => s.open().say(...flood.slice(after(s))).end(1000))
  assert.deepEqual(await all(client), flood.map((x) => x.n))
  assert.equal(opened.length, 3)
})

test('leaving the loop, or giving up, closes the WebSocket', async (t) => {
  const { client, opened } = await setup(t, (s) => s.open().say({ cursor: 'c', n: 1 }))
  for await (const _ of client.topic.tail({ topic: 'x' })) break
  assert(opened[0]!.closed)
  const stop = new AbortController()
  await assert.rejects(async () => {
    for await (const _ of client.topic.tail({ topic: 'x' }, { signal: stop.signal })) stop.abort()
  }, (err: unknown) => err instanceof ICNError && err.kind === 'aborted')
  assert(opened[1]!.closed)
})
