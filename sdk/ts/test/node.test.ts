/** Keys in a file. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { createMember, generateDevice, sign, updateAuth } from '../src/keys/index.js'
import type { ICNError } from '../src/error.js'
import { FileKeyStore } from '../src/node.js'
import { fromHex, verify } from '../src/record/index.js'

const message = new TextEncoder().encode('hello')
const feed = 'aa'.repeat(32)

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'icn-keys-'))
  t.after(() => rmSync(dir, { recursive: true }))
  return dir
}

const fails = (kind: string, why: RegExp) => (err: ICNError): boolean => err.kind === kind && why.test(err.message)

test('a file keeps the member and what was signed, for its owner alone', async (t) => {
  const path = join(folder(t), 'keys.json')
  const store = new FileKeyStore(path)
  assert.equal(await store.member(), undefined)
  const { member, phrase } = await createMember(store)
  const request = { operation: 'ledger.transfer', input: '{}', idempotency: 'x', at: 1 }
  await Promise.all([
    store.setSigned({ feed, seq: 1n << 60n, id: 'bb'.repeat(32), envelope: message, request, name: 'n' }),
    store.setSigned({ feed: 'cc'.repeat(32), seq: 1n, id: '' }),
  ])
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert(!readFileSync(path, 'utf8').includes(phrase.text().split(' ')[0]! + ' '), 'the phrase is in no file')
  await store.close()
  assert.deepEqual(readdirSync(join(path, '..')), ['keys.json'], 'nothing is left beside it')

  const again = new FileKeyStore(path)
  const kept = (await again.member())!
  assert.deepEqual([kept.did, kept.device.key, kept.auth, kept.fresh], [member.did, member.device.key, member.auth, true])
  assert(verify(fromHex(member.device.key), message, await sign(kept.device, message)), 'the key that comes back signs')
  assert.equal(kept.device.handle.extractable, false)
  assert.deepEqual(await again.signed(feed), { feed, seq: 1n << 60n, id: 'bb'.repeat(32), envelope: message, request, name: 'n' })
  assert.deepEqual((await again.pending()).map((s) => s.feed), [feed])
  assert.equal(await again.signed('toString'), undefined)
  await updateAuth(again, kept.auth)
  await again.setMember({ ...kept, fresh: false }) // with a handle that cannot be read: the key in the file stays
  assert.equal((await again.member())!.fresh, false)
  await assert.rejects(createMember(again), fails('conflict', /has the keys of/))
  await again.setMember(undefined)
  assert.equal(await again.member(), undefined)
  await assert.rejects(again.setMember({ ...kept, device: await generateDevice() }), fails('unsupported', /cannot be read/))
  await again.close()
})

test('one program uses it at a time', async (t) => {
  const path = join(folder(t), 'keys.json')
  const first = new FileKeyStore(path)
  await createMember(first)
  await assert.rejects(new FileKeyStore(path).member(), fails('conflict', /uses the key store/))
  await first.close()

  // Another program's lock counts while it runs, and one that ended without a word has none.
  writeFileSync(`${path}.lock`, `${process.ppid}\n`)
  await assert.rejects(new FileKeyStore(path).member(), fails('conflict', new RegExp(`process ${process.ppid} `)))
  for (const pid of [spawnSync(process.execPath, ['-e', '']).pid, process.pid]) {
    writeFileSync(`${path}.lock`, `${pid}\n`)
    const next = new FileKeyStore(path)
    assert(await next.member())
    await next.close()
    assert(!existsSync(`${path}.lock`))
  }
})

test('what it does not understand it does not touch', async (t) => {
  const path = join(folder(t), 'keys.json')
  const store = new FileKeyStore(path)
  await createMember(store)
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.replace('"fresh": true', '"fresh": false'))
  await assert.rejects(store.setSigned({ feed, seq: 1n, id: '' }), fails('conflict', /changed by another program/))
  await store.close()

  for (const wrong of ['', text.slice(0, -20), text.replace('"version": 1', '"version": 2')]) {
    writeFileSync(path, wrong)
    await assert.rejects(new FileKeyStore(path).member(), fails('internal', /no key store of this version/))
    assert.equal(readFileSync(path, 'utf8'), wrong)
  }
  writeFileSync(path, text)
  chmodSync(path, 0o644)
  await assert.rejects(new FileKeyStore(path).member(), fails('refused', /chmod 600/))
  await assert.rejects(new FileKeyStore(join(path, 'none', 'keys.json')).member(), fails('internal', /cannot be made/))
  assert.deepEqual(readdirSync(join(path, '..')), ['keys.json'])
})
