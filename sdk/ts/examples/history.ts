// What an account has been paid and has paid, all of it, with a token from elsewhere: node history.js https://coop.example TOKEN
import { ICNClient } from '@icn/client'

const [baseUrl = 'http://127.0.0.1:8080', token] = process.argv.slice(2)
const client = new ICNClient({ baseUrl, token })

for await (const entry of client.ledger.history({ limit: 100 })) {
  console.log(JSON.stringify(entry, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v)))
}
