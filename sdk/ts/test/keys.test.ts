import assert from 'node:assert/strict'
import test from 'node:test'
import { IDBFactory } from 'fake-indexeddb'
import { createMember, didOfPhrase, generateDevice, IndexedDBKeyStore, type KeyStore, MemoryKeyStore, Phrase, sign, updateAuth } from '../src/keys/index.js'
import { ICNError } from '../src/error.js'
import { certify, fromHex, parseAuth, verify } from '../src/record/index.js'
import { exclusively } from '../src/lock.js'

const message = new TextEncoder().encode('hello')

test('nobody can read a device key', async () => {
  const d = await generateDevice()
  assert.equal(d.handle.extractable, false)
  for (const format of ['pkcs8', 'jwk', 'raw'] as const) await assert.rejects(crypto.subtle.exportKey(format as 'pkcs8', d.handle))
  assert(verify(fromHex(d.key), message, await sign(d, message)))
})

const stores: Record<string, () => KeyStore> = { memory: () => new MemoryKeyStore(), IndexedDB: () => new IndexedDBKeyStore('icn-keys', new IDBFactory()) }

for (const [name, open] of Object.entries(stores)) {
  test(`${name}: a member is made once, and what was signed is kept`, async () => {
    const store = open()
    assert.equal(await store.member(), undefined)
    const { member, phrase } = await createMember(store)
    const auth = parseAuth(member.auth)
    assert.deepEqual([auth.did, auth.device, auth.role, auth.events.length], [member.did, member.device.key, 'primary', 1])
    assert.equal(didOfPhrase(phrase), member.did)
    assert.equal(didOfPhrase(Phrase.parse(`  ${phrase.text().toUpperCase().replaceAll(' ', '\n ')} `)), member.did)
    await assert.rejects(createMember(store), (err: ICNError) => err.kind === 'conflict')

    const kept = (await store.member())!
    assert.equal(kept.did, member.did)
    assert(verify(fromHex(member.device.key), message, await sign(kept.device, message)), 'the key that comes back signs')
    await assert.rejects(crypto.subtle.exportKey('pkcs8', kept.device.handle))

    const feed = 'aa'.repeat(32)
    assert.equal(await store.signed(feed), undefined)
    await store.setSigned({ feed, seq: 1n, id: 'bb'.repeat(32), envelope: message })
    assert.deepEqual((await store.pending()).map((s) => [s.seq, s.envelope]), [[1n, message]])
    await store.setSigned({ feed, seq: 2n, id: 'cc'.repeat(32) })
    assert.deepEqual(await store.pending(), [])
    assert.equal((await store.signed(feed))!.seq, 2n)
    await store.setMember(undefined)
    assert.equal(await store.member(), undefined)
  })
}

test('a store keeps its keys when it is opened again', async () => {
  const factory = new IDBFactory()
  const first = new IndexedDBKeyStore('k', factory)
  const { member } = await createMember(first)
  await first.close()
  assert.equal((await new IndexedDBKeyStore('k', factory).member())!.did, member.did)
})

test('a database that is deleted while it is open is gone, and the store is empty', async () => {
  const factory = new IDBFactory()
  const store = new IndexedDBKeyStore('k', factory)
  const { member } = await createMember(store)
  await new Promise<void>((ok, no) => {
    const req = factory.deleteDatabase('k')
    req.onsuccess = () => ok()
    req.onblocked = () => no(new Error('the store keeps it'))
  })
  assert.equal(await store.member(), undefined)
  assert.notEqual((await createMember(store)).member.did, member.did)
})

test('what is missing here is said', async () => {
  await assert.rejects(new IndexedDBKeyStore('k', null as unknown as undefined).member(), (err: ICNError) => err.kind === 'unsupported' && /IndexedDB/.test(err.message))
  const generateKey = crypto.subtle.generateKey
  crypto.subtle.generateKey = (() => Promise.reject(new DOMException('Unrecognized name.', 'NotSupportedError'))) as typeof generateKey
  try {
    await assert.rejects(createMember(new MemoryKeyStore()), (err: ICNError) => err.kind === 'unsupported' && /Ed25519/.test(err.message))
  } finally {
    crypto.subtle.generateKey = generateKey
  }
})

test('a phrase is refused without a word of it', () => {
  const p = Phrase.generate()
  const words = p.text().split(' ')
  assert.equal(words.length, 24)
  for (const [text, why] of [
    ['', /^phrase: 0 words/],
    [words.slice(1).join(' '), /23 words/],
    [[...words.slice(0, 4), 'zebraa', ...words.slice(5)].join(' '), /word 5 is not in the list/],
    ['abandon '.repeat(24), /do not belong together/],
  ] as const) {
    assert.throws(() => Phrase.parse(text), (err: ICNError) => err.kind === 'invalid' && why.test(err.message) && !err.message.includes('zebraa'))
  }
  assert.equal(`${p} ${JSON.stringify({ p })}`, '[recovery phrase] {"p":"[recovery phrase]"}')
  p.wipe()
  assert.equal(p.text(), 'abandon '.repeat(23) + 'art')
})

test('an auth is replaced by a later state of its own log only', async () => {
  const store = new MemoryKeyStore()
  const { member } = await createMember(store)
  assert.equal((await updateAuth(store, member.auth)).did, member.did)
  const other = await createMember(new MemoryKeyStore())
  await assert.rejects(updateAuth(store, other.member.auth), (err: ICNError) => err.kind === 'mismatch')
  await assert.rejects(updateAuth(store, certify(new Uint8Array(32).fill(1), fromHex(member.device.key))), (err: ICNError) => err.kind === 'mismatch')
})

test('a lock lets one in at a time, and a failure lets the next one in', async () => {
  let inside = 0
  const order: number[] = []
  const work = (n: number): Promise<void> =>
    exclusively('k', async () => {
      assert.equal(++inside, 1)
      await new Promise((ok) => setTimeout(ok, 1))
      inside--
      order.push(n)
      if (n === 2) throw new Error('two')
    }, undefined)
  const all = await Promise.allSettled([1, 2, 3].map(work))
  assert.deepEqual(all.map((r) => r.status), ['fulfilled', 'rejected', 'fulfilled'])
  assert.deepEqual(order, [1, 2, 3])
  const asked: string[] = []
  const locks = { request: <T>(name: string, _: object, f: () => Promise<T>): Promise<T> => (asked.push(name), f()) }
  assert.equal(await exclusively('dev', async () => 5, locks), 5)
  assert.deepEqual(asked, ['icn:dev'])
})
