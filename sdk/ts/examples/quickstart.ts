import { createMember, ICNClient, ICNError, IndexedDBKeyStore } from '@icn/client'

// The member's keys are made here and stay here: the browser signs with them, and shows them to nobody.
const keys = new IndexedDBKeyStore()
const client = new ICNClient({ baseUrl: 'https://coop.example', keys })

/** For a new member: the words have to be written down, since they are kept nowhere. The registrar admits who has the DID and the device. */
export async function begin(show: (words: string) => Promise<void>): Promise<{ did: string; device: string }> {
  const { member, phrase } = await createMember(keys)
  await show(phrase.text())
  phrase.wipe()
  return { did: member.did, device: member.device.key }
}

/** Pays somebody; the record is looked at and signed here. */
export async function pay(to: string, hours: number, memo: string): Promise<string> {
  try {
    const { receipt } = await client.ledger.transfer({ to, currency: 'hours', amount: Math.round(hours * 100), memo })
    return `paid: ${receipt.position.id}`
  } catch (err) {
    if (!(err instanceof ICNError)) throw err
    return `${err.message}. ${err.remedy}.` // err.pending: the same call again pays once, not twice
  }
}
