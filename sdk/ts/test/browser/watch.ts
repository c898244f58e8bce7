/** Keeps what pages send, get, say and store, to be searched. */
import type { BrowserContext, Page } from 'playwright-core'
import type { Seen } from './secrets.js'

export class Watch {
  readonly seen: Seen[] = []
  /** Origins that something was asked of. */
  readonly origins = new Set<string>()
  /** What pages said is wrong: errors, refused by a policy or thrown. */
  readonly errors: string[] = []
  readonly #reading = new Set<Promise<unknown>>()

  private constructor(private readonly context: BrowserContext) {}

  static async of(context: BrowserContext): Promise<Watch> {
    const w = new Watch(context)
    context.on('request', (r) => {
      const what = `${r.method()} ${new URL(r.url()).pathname}`
      w.origins.add(new URL(r.url()).origin)
      w.#keep(`the URL of ${what}`, r.url())
      w.#later(r.allHeaders().then((h) => w.#keep(`the headers of ${what}`, JSON.stringify(h))))
      const body = r.postDataBuffer()
      if (body) w.#keep(`the body of ${what}`, body)
    })
    context.on('requestfinished', (r) => {
      const what = `${r.method()} ${new URL(r.url()).pathname}`
      w.#later(r.response().then(async (res) => {
        if (!res) return
        w.#keep(`the answer's headers to ${what}`, JSON.stringify(await res.allHeaders()))
        if (!/^(?:document|script|stylesheet)$/.test(r.resourceType())) w.#keep(`the answer to ${what}`, await res.body())
      }))
    })
    context.on('console', (m) => {
      w.#keep('the console', m.text())
      if (m.type() === 'error') w.errors.push(m.text())
    })
    context.on('weberror', (e) => void w.errors.push(String(e.error())))
    context.on('page', (page) => w.#later(w.#follow(page)))
    return w
  }

  #keep(where: string, what: string | Buffer): void {
    // as UTF-8: what is sent is bytes in the end
    this.seen.push({ where, text: Buffer.from(what as string).toString('latin1') })
  }

  /** Waits for it at the end. What a page that is gone did not tell is not known. */
  #later(p: Promise<unknown>): void {
    const reading = p.catch(() => undefined).finally(() => this.#reading.delete(reading))
    this.#reading.add(reading)
  }

  /** Streams, whose answers never end, and WebSockets. */
  async #follow(page: Page): Promise<void> {
    page.on('websocket', (ws) => {
      this.origins.add(new URL(ws.url().replace(/^ws/, 'http')).origin)
      this.#keep('the URL of a WebSocket', ws.url())
      ws.on('framesent', (f) => this.#keep('a message sent over a WebSocket', f.payload))
      ws.on('framereceived', (f) => this.#keep('a message got over a WebSocket', f.payload))
    })
    const cdp = await this.context.newCDPSession(page)
    cdp.on('Network.responseReceived', ({ requestId, response }) => {
      if (response.mimeType !== 'text/event-stream') return
      const first = cdp.send('Network.streamResourceContent', { requestId })
      this.#later(first.then(({ bufferedData }) => this.#keep('a stream', Buffer.from(bufferedData, 'base64'))))
    })
    cdp.on('Network.dataReceived', ({ data }) => {
      if (data) this.#keep('a stream', Buffer.from(data, 'base64'))
    })
    await cdp.send('Network.enable')
  }

  /** What is stored for the page's origin, where scripts that come later can read it. */
  async storage(page: Page): Promise<void> {
    const kept = await page.evaluate(async () => {
      const databases: unknown[] = []
      for (const { name } of await indexedDB.databases()) {
        const db = await new Promise<IDBDatabase>((ok, no) => {
          const req = indexedDB.open(name!)
          req.onsuccess = () => ok(req.result)
          req.onerror = () => no(req.error!)
        })
        for (const store of db.objectStoreNames) {
          const all = await new Promise<unknown[]>((ok) => {
            const req = db.transaction(store).objectStore(store).getAll()
            req.onsuccess = () => ok(req.result as unknown[])
          })
          databases.push(all)
        }
        db.close()
      }
      const plain = (_: string, v: unknown): unknown =>
        typeof v === 'bigint' ? String(v) : v instanceof CryptoKey ? { type: v.type, extractable: v.extractable } : v instanceof Uint8Array ? [...v] : v
      const all = { localStorage, sessionStorage, cookie: document.cookie, title: document.title, page: document.documentElement.outerHTML, databases }
      return Object.entries(all).map(([where, v]) => [where, JSON.stringify(v, plain)] as const)
    })
    for (const [where, text] of kept) this.#keep(where, text)
  }

  /** All of it, once what is still being read is there. */
  async all(): Promise<Seen[]> {
    while (this.#reading.size > 0) await Promise.all(this.#reading)
    return this.seen
  }
}
