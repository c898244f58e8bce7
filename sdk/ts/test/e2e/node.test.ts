/**
 * Against a node that runs. ICN_E2E_URL is its gateway, and ICN_E2E_INVITATION an invitation into a space that it has; ICN_E2E_NODE, its DID, where its audience is
 * no address. Without ICN_E2E_URL everything is skipped.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { createMember, ICNClient, type ICNClientOptions, ICNError, MemoryKeyStore } from '../../src/index.js'

const { ICN_E2E_URL: baseUrl, ICN_E2E_INVITATION: invitation, ICN_E2E_NODE: node } = process.env
const skip = baseUrl ? false : 'ICN_E2E_URL is not set: no node to talk to'

function options(): ICNClientOptions {
  return { baseUrl: baseUrl!, node }
}

test('a node answers, and refuses who is nobody', { skip }, async () => {
  const client = new ICNClient(options())
  await assert.rejects(client.node.status() as Promise<unknown>, (err: unknown) => err instanceof ICNError && err.kind === 'unauthenticated')
})

test('a browser member joins, logs in, pays, and reads it back', { skip: skip || (invitation ? false : 'ICN_E2E_INVITATION is not set') }, async () => {
  const keys = new MemoryKeyStore()
  const { member } = await createMember(keys)
  const client = new ICNClient({ ...options(), keys, confirm: () => true })
  const joined = await client.space.join({ invitation: invitation! })
  const session = await client.auth.login({ label: 'e2e' })
  assert.equal(session.did, member.did)

  const { space } = joined
  const deadline = Date.now() + 60_000
  for (;;) {
    // Being admitted is the registrar's doing, and takes its time.
    const { members } = await client.member.list({ space })
    const other = members?.find((m) => m.did !== member.did)
    if (other && members?.some((m) => m.did === member.did)) {
      const show = await client.space.show({ space })
      const currency = (show as unknown as { currencies?: { code: string }[] }).currencies?.[0]?.code
      assert(currency, 'the space has a currency')
      const paid = await client.ledger.transfer({ space, to: other.did, currency, amount: 1, memo: 'e2e' })
      const again = await client.ledger.history({ space })
      assert(again.entries && again.entries.length > 0)
      assert.equal(typeof paid.receipt.position.id, 'string')
      break
    }
    assert(Date.now() < deadline, 'not admitted within a minute')
    await new Promise((ok) => setTimeout(ok, 500))
  }
  await client.auth.logout()
})
