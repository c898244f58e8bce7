// Becomes a member by an invitation, waits to be paid, pays half of it back, and lists what was paid: README.md beside this file walks through it.
//
//   node quickstart.mjs http://127.0.0.1:8080 icn-invite:...
//
// Started again without the invitation it is the same member, by the key in member.json.
import { setTimeout as sleep } from 'node:timers/promises'
import { createMember, ICNClient, ICNError } from '@icn/client'
import { FileKeyStore } from '@icn/client/node'

const [baseUrl = 'http://127.0.0.1:8080', invitation] = process.argv.slice(2)
const keys = new FileKeyStore('member.json')
const client = new ICNClient({
  baseUrl,
  keys,
  // Asked before each signature, with what the bytes say. `unasked` names what the node has filled in by itself: in a request to join, the invitation's key.
  confirm: (record, unasked) => {
    console.log(`signed: ${record.text}`)
    return unasked.length === 0 || record.kind === 'join'
  },
})

/** Minor units for people: hours have two decimals here. */
const hours = (/** @type {number} */ amount) => (amount / 100).toFixed(2)

// 1. A member is a key, made here. The words make it again when this machine is lost.
let member = await keys.member()
if (!member) {
  const created = await createMember(keys)
  member = created.member
  console.log(`Write these words on paper, they are kept nowhere:\n\n  ${created.phrase.text()}\n`)
  created.phrase.wipe()
}
console.log(`you are ${member.did}`)

// 2. Joining. Who is no member yet may ask for a login that is good for that alone.
if (invitation) {
  await client.auth.login({ scopes: ['record:write', 'space:join'] })
  const { name } = await client.space.join({ invitation })
  console.log(`asked to join ${name}`)
  while (!(await admitted())) await sleep(500) // the registrar's node answers when it sees the request
}
const { spaces } = await client.space.list()
if (!spaces?.[0]) throw new Error('no space: start it once with an invitation')
const { space, name } = spaces[0]
console.log(`member of ${name}`)

// 3. Being paid. The stream goes on by itself when the connection is lost; leaving the loop ends it.
console.log('waiting for a payment ...')
const paid = await firstPayment(member.did)
console.log(`${paid.from} has paid ${hours(paid.amount)} for "${paid.memo ?? ''}"`)

// 4. Paying. The name makes it one payment, however often this is run; `final` is when nobody can take it back.
const { receipt } = await client.ledger.transfer(
  { space, to: paid.from, currency: paid.currency, amount: Math.ceil(paid.amount / 2), memo: 'half of it back' },
  { idempotency: `back:${paid.id.slice(0, 56)}`, wait: 'final' },
)
console.log(`paid back, final: record ${receipt.position.id}`)

// 5. What happened so far: all pages of it, newest first.
for await (const e of client.ledger.history({ space, did: member.did })) {
  console.log(`${e.time}  ${hours(e.balance_delta).padStart(8)} ${e.currency}  ${e.memo}`)
}
const { balances } = await client.ledger.balance({ space, did: member.did })
for (const b of balances ?? []) console.log(`balance ${hours(b.balance)} ${b.currency}`)

async function admitted() {
  try {
    await client.auth.login({ label: 'quickstart' })
    return true
  } catch (err) {
    if (err instanceof ICNError && err.reason?.rule === 'not-a-member') return false
    throw err
  }
}

/** The first payment to somebody that the node has kept, or else the next. */
async function firstPayment(/** @type {string} */ did) {
  for await (const event of client.event.stream({ space, types: ['ledger.transferred'], after: 'begin' })) {
    const data = /** @type {{ from: string, to: string, currency: string, amount: number, memo?: string } | undefined} */ (event.data)
    if (event.record && data?.to === did) return { ...data, id: event.record.id }
  }
  throw new Error('the stream has ended')
}
