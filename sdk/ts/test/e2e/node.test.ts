/**
 * Against a node that runs. Without ICN_E2E_URL everything is skipped.
 *
 *   ICN_E2E_URL    its gateway, e.g. http://127.0.0.1:8080
 *   ICN_E2E_ADMIT  a shell command that admits the member $DID with the device $DEVICE to a space that the node follows, and returns once that is done
 *   ICN_E2E_SPACE  the id of that space
 *   ICN_E2E_TO     a DID of that space to pay, in ICN_E2E_CURRENCY (default hours)
 */
import assert from 'node:assert/strict'
import { execSync } from 'node:child_process'
import test from 'node:test'
import { createMember, ICNClient, ICNError, MemoryKeyStore } from '../../src/index.js'

const { ICN_E2E_URL: baseUrl = '', ICN_E2E_ADMIT: admit = '', ICN_E2E_SPACE: space = '', ICN_E2E_TO: to = '', ICN_E2E_CURRENCY: currency = 'hours' } = process.env
const skip = baseUrl ? false : 'ICN_E2E_URL is not set: no node to talk to'
const skipMember = skip || (admit && space && to ? false : 'ICN_E2E_ADMIT, ICN_E2E_SPACE or ICN_E2E_TO is not set')

test('a node answers, and refuses who is nobody', { skip }, async () => {
  const client = new ICNClient({ baseUrl })
  await assert.rejects(client.node.status(), (err: unknown) => err instanceof ICNError && err.kind === 'unauthenticated')
})

test('a member with nothing but a key logs in, pays, and reads it back', { skip: skipMember }, async () => {
  const keys = new MemoryKeyStore()
  const { member, phrase } = await createMember(keys)
  phrase.wipe()
  execSync(admit, { env: { ...process.env, DID: member.did, DEVICE: member.device.key }, stdio: 'inherit' })
  const said: string[] = []
  const client = new ICNClient({
    baseUrl, keys,
    confirm: (d, unasked) => {
      said.push(d.text)
      return unasked.length === 0
    },
  })
  const session = await client.auth.login({ label: 'e2e' })
  assert.equal(session.did, member.did)

  const paid = await client.ledger.transfer({ space, to, currency, amount: 1, memo: 'e2e' })
  assert.equal(said.length, 1)
  assert.match(said[0]!, /^Pay 1 minor units? of /)
  assert.deepEqual(await keys.pending(), [])
  assert.equal(paid.receipt.topic.space, space)
  const twice = await client.ledger.transfer({ space, to, currency, amount: 1, memo: 'e2e' }, { idempotency: 'e2e-1' })
  const again = await client.ledger.transfer({ space, to, currency, amount: 1, memo: 'e2e' }, { idempotency: 'e2e-1' })
  assert.equal(again.receipt.position.id, twice.receipt.position.id)

  const { entries } = await client.ledger.history({ space })
  assert.equal(entries?.length, 2)
  await client.auth.logout()
  await assert.rejects(client.ledger.balance({ space, did: member.did }), (err: unknown) => err instanceof ICNError && err.kind === 'unauthenticated')
})
