/** A member's page: what an app of a co-op does with the package, as short as it can be. The tests call it and look at it. */
import { createMember, ICNClient, IndexedDBKeyStore, ICNError, type Pairing, Phrase } from '@icn/client'

const params = new URLSearchParams(location.search)
const keys = new IndexedDBKeyStore()
const client = new ICNClient({
  baseUrl: params.get('node')!, keys, pause: 50, retries: Number(params.get('retries') ?? 4),
  confirm: (d) => {
    tell('signed', d.text)
    return true
  },
})

let asked: Pairing | undefined

function tell(list: string, text: string): void {
  const item = document.createElement('li')
  item.textContent = text
  document.getElementById(list)!.append(item)
}

export const member = {
  /** Makes the keys. The words are for paper: who calls writes them down. */
  async create(): Promise<{ did: string; device: string; words: string }> {
    const { member, phrase } = await createMember(keys)
    const words = phrase.text()
    phrase.wipe()
    return { did: member.did, device: member.device.key, words }
  },

  /** Who the keys that are kept here are of. */
  async who(): Promise<string | undefined> {
    return (await keys.member())?.did
  },

  /** What each way to read the device key answers: the name of the error, or "read". */
  async read(): Promise<string[]> {
    const { handle } = (await keys.member())!.device
    const wrap = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['wrapKey'])
    const ways = [
      ...(['pkcs8', 'jwk', 'raw'] as const).map((format) => crypto.subtle.exportKey(format, handle)),
      crypto.subtle.wrapKey('pkcs8', handle, wrap, { name: 'AES-GCM', iv: new Uint8Array(12) }),
    ]
    return Promise.all(ways.map((w) => w.then(() => 'read', (err: Error) => err.name)))
  },

  /** Logs in as a guest, asks to be admitted, and logs in as a member once that is done. */
  async join(invitation: string): Promise<void> {
    await client.auth.login({ scopes: ['record:write', 'space:join'] })
    await client.space.join({ invitation })
    for (let i = 0; ; i++) {
      try {
        await client.auth.login()
        return
      } catch (err) {
        if (!(err instanceof ICNError) || err.reason?.rule !== 'not-a-member' || i > 100) throw err
        await new Promise((ok) => setTimeout(ok, 50))
      }
    }
  },

  login: () => client.auth.login(),

  /** Asks to be let in by a device that is logged in: what the screen shows. */
  async pair(): Promise<{ payload: string; code: string; device: string }> {
    asked = await client.pairDevice({ label: 'Tablet' })
    const { payload, code, device } = asked
    return { payload, code, device }
  },

  /** Waits until it is. */
  paired: () => asked!.done(),

  /** Lets a device in, with something to spend. */
  async letIn(payload: string, code: string, words: string, space: string, amount: number): Promise<string> {
    const phrase = Phrase.parse(words)
    try {
      return (await client.letIn(payload, { code, phrase, allot: { space, currency: 'hours', amount } })).device
    } finally {
      phrase.wipe()
    }
  },

  /** Lists the payments of a space as they come, for as long as the page is open. Returns once what happens from then on comes. */
  listen(space: string): Promise<void> {
    return new Promise((open, failed) => {
      void (async () => {
        for await (const e of client.event.stream({ space, types: ['ledger.*'] })) {
          if (e.type === 'event.mark') open()
          else tell('events', `${e.type} ${e.record?.id ?? ''}`)
        }
      })().catch((err: unknown) => (tell('events', String(err)), failed(err)))
    })
  },

  /** Pays, and returns the id of the record; or "kind, pending" of what failed. */
  async pay(space: string, to: string, amount: number, memo = ''): Promise<string> {
    try {
      const { receipt } = await client.ledger.transfer({ space, to, currency: 'hours', amount, memo })
      return receipt.position.id
    } catch (err) {
      if (!(err instanceof ICNError)) throw err
      return `${err.kind}${err.pending ? ', pending' : ''}`
    }
  },

  async balance(space: string): Promise<number> {
    const { balances } = (await client.ledger.balance({ space, did: (await member.who())! })) as unknown as { balances: { balance: number }[] }
    return balances[0]?.balance ?? 0
  },

  pending: async () => (await client.pending()).length,
  settle: () => client.settle(),
}

declare global {
  var icnMember: typeof member
}

globalThis.icnMember = member
