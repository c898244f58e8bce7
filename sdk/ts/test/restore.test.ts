import assert from 'node:assert/strict'
import test from 'node:test'
import { ICNError } from '../src/error.js'
import { createMember, MemoryKeyStore, Phrase, restoreMember, type RestoreOptions } from '../src/keys/index.js'
import { askMessage, changeDevices, fromBase64, fromHex, parseAuth, parseDID, parseLog, rotate, toBase64, verify } from '../src/record/index.js'
import { toHex } from '../src/record/bytes.js'
import { publicKey } from '../src/record/ed25519.js'

/** A node that has a log, and gives it to who shows the root key's signature. */
function source(log: Uint8Array): { call(op: string, input: object): unknown } {
  return {
    call: async (op, input) => {
      const { did, time, signature } = input as { did: string; time: number; signature: string }
      assert.equal(op, 'key.own')
      assert(Math.abs(time - Date.now()) < 60_000)
      assert(verify(parseDID(did), askMessage(did, time), fromBase64(signature)))
      return { log: toBase64(log) }
    },
  }
}

test('the phrase puts its next key in charge, again and again, and lets the new device in', async () => {
  const { member: first, phrase } = await createMember(new MemoryKeyStore())
  const words = phrase.text()
  const restore = async (log: Uint8Array, options?: RestoreOptions): Promise<ReturnType<typeof parseAuth> & { bytes: Uint8Array }> => {
    const store = new MemoryKeyStore()
    const m = await restoreMember(store, Phrase.parse(words), source(log), options)
    assert.deepEqual(await store.member(), m)
    assert(m.fresh)
    const a = parseAuth(m.auth)
    assert.deepEqual([a.did, a.device, a.role, m.did], [first.did, m.device.key, 'primary', first.did])
    return { ...a, bytes: m.auth }
  }
  const second = await restore(first.auth)
  assert.deepEqual([second.devices.length, second.removed], [1, [first.device.key]])
  const third = await restore(second.bytes, { keepDevices: true })
  assert.deepEqual(third.devices.find((d) => d.key === second.device)?.role, 'secondary')
  assert.deepEqual(third.events.map((e) => e.kind), ['inception', 'rotation', 'rotation'])
  assert.equal((await restore(third.bytes)).devices.length, 1)
  await assert.rejects(restore((await createMember(new MemoryKeyStore())).member.auth), (err: ICNError) => err.kind === 'mismatch')
})

test('a log is changed by the key in charge, and by no other', async () => {
  const { member, phrase } = await createMember(new MemoryKeyStore())
  const other = 'ab'.repeat(32).replace(/^../, '01')
  const added = publicKey(new Uint8Array(32).fill(9))
  const key = toHex(added)
  const auth = changeDevices(member.auth, phrase.seed(0), [{ key, role: 'secondary' }], [], key)
  const a = parseAuth(auth)
  assert.deepEqual([a.device, a.role, a.devices.length], [key, 'secondary', 2])
  assert.deepEqual(parseLog(auth).devices, a.devices)
  assert.equal(parseAuth(changeDevices(auth, phrase.seed(0), [], [key], member.device.key)).removed[0], key)
  const bad = (f: () => unknown): void => assert.throws(f, ICNError)
  bad(() => changeDevices(member.auth, phrase.seed(1), [{ key, role: 'secondary' }], [], key))
  bad(() => changeDevices(member.auth, phrase.seed(0), [{ key, role: 'primary' }], [], key)) // two primary ones
  bad(() => changeDevices(member.auth, phrase.seed(0), [], [other], member.device.key))
  bad(() => rotate(member.auth, phrase.seed(2), publicKey(phrase.seed(3)), [], [], member.device.key))
  bad(() => rotate(member.auth, phrase.seed(0), publicKey(phrase.seed(1)), [], [], member.device.key))
  assert.equal(parseAuth(rotate(member.auth, phrase.seed(1), publicKey(phrase.seed(2)), [], [], member.device.key)).events.length, 2)
  assert(fromHex(key).length === 32)
})
