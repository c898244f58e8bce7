// Answers each payment with the memo "ping" by paying the same back with "pong", once, whatever ends in between: README.md says why that holds.
//
//   node bot.mjs http://127.0.0.1:8080 DIRECTORY [icn-invite:...]
//
// DIRECTORY holds the bot's key and how far it has come. One bot runs on it at a time.
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createMember, ICNClient, ICNError } from '@icn/client'
import { FileKeyStore } from '@icn/client/node'

/** @typedef {import('@icn/client').Event} Event */

const [baseUrl, directory, invitation] = process.argv.slice(2)
if (!baseUrl || !directory) {
  console.error('usage: node bot.mjs http://127.0.0.1:8080 DIRECTORY [icn-invite:...]')
  process.exit(2)
}
await mkdir(directory, { recursive: true, mode: 0o700 })
const keys = new FileKeyStore(join(directory, 'keys.json'))
const client = new ICNClient({ baseUrl, keys, confirm: (record, unasked) => unasked.length === 0 || record.kind === 'join' })

const member = (await keys.member()) ?? (await enrol())
if (invitation) await join_(invitation)
console.log(`ready ${member.did}`)

let cursor = await lastCursor()
for (;;) {
  try {
    for await (const event of client.event.stream({ types: ['ledger.transferred'], after: cursor })) {
      await answer(event)
      await keepCursor(event.cursor) // not before: what is not answered is told again
    }
  } catch (err) {
    if (!passes(err)) throw err // a cursor that does not go on is among these: a person has to look at what was paid
    console.log(`waiting: ${err.message}`)
    await sleep(1000)
    cursor = await lastCursor()
  }
}

/** Pays back, if the event is a ping to this bot. */
async function answer(/** @type {Event} */ event) {
  const data = /** @type {{ from: string, to: string, currency: string, amount: number, memo?: string } | undefined} */ (event.data)
  if (!data || !event.record || data.to !== member.did || data.memo !== 'ping') return
  try {
    // The payment that is answered names the request: the node answers the same request the same way, and the client signs nothing for it twice.
    const { receipt } = await client.ledger.transfer(
      { space: event.space, to: data.from, currency: data.currency, amount: data.amount, memo: 'pong' },
      { idempotency: `pong:${event.record.id.slice(0, 56)}` },
    )
    console.log(`pong ${data.amount} ${receipt.position.id}`)
  } catch (err) {
    if (passes(err) || !(err instanceof ICNError) || err.kind !== 'refused') throw err
    console.log(`refused: ${err.message}. ${err.remedy}.`) // by a rule, e.g. the sender has left since: there is nothing to wait for
  }
}

/** Whether waiting helps. @returns {err is ICNError} */
function passes(/** @type {unknown} */ err) {
  return err instanceof ICNError && (err.transient || err.pending)
}

/** Makes the bot's keys. Its owner keeps the words, by which the bot can be moved to another machine. */
async function enrol() {
  const { member, phrase } = await createMember(keys)
  console.log(`recovery phrase, shown this once: ${phrase.text()}`)
  phrase.wipe()
  return member
}

async function join_(/** @type {string} */ invitation) {
  await client.auth.login({ scopes: ['record:write', 'space:join'] })
  await client.space.join({ invitation })
  for (;;) {
    try {
      await client.auth.login({ label: 'bot' })
      return
    } catch (err) {
      if (!(err instanceof ICNError) || err.reason?.rule !== 'not-a-member') throw err
      await sleep(500) // until the registrar has seen the request
    }
  }
}

async function lastCursor() {
  try {
    return (await readFile(join(directory, 'cursor'), 'utf8')).trim()
  } catch (err) {
    if (/** @type {NodeJS.ErrnoException} */ (err).code !== 'ENOENT') throw err
    return 'begin' // all that the node has kept of the spaces that the bot is in
  }
}

/** Puts the cursor on disk in the place of the one before. */
async function keepCursor(/** @type {string} */ cursor) {
  const file = await open(join(directory, 'cursor.new'), 'w', 0o600)
  try {
    await file.writeFile(`${cursor}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(join(directory, 'cursor.new'), join(directory, 'cursor'))
}
