// Records of a topic as they come, for as long as the program runs: node follow.js https://coop.example TOKEN SPACE/ledger
import { ICNClient } from '@icn/client'

const [baseUrl = 'http://127.0.0.1:8080', token, topic = ''] = process.argv.slice(2)
const client = new ICNClient({ baseUrl, token })
const stop = new AbortController()
process.once('SIGINT', () => stop.abort())

for await (const record of client.topic.tail({ topic, follow: true }, { signal: stop.signal })) {
  console.log(record.time, record.author, record.kind, record.accepted ? 'accepted' : record.reason?.text)
}
