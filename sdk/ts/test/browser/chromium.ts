/** A real browser: the system's Chromium, without a window and without what it would fetch by itself. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import { type Browser, type BrowserContext, chromium, type LaunchOptions } from 'playwright-core'

function executable(): string {
  if (process.env.CHROMIUM) return process.env.CHROMIUM
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of ['chromium', 'google-chrome']) if (existsSync(join(dir, name))) return join(dir, name)
  }
  throw new Error('there is no chromium: install it (on Debian: apt-get install chromium), or say in CHROMIUM where one is')
}

const options = (): LaunchOptions => ({
  executablePath: executable(),
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})

export function launch(): Promise<Browser> {
  return chromium.launch(options())
}

/** A browser that keeps what it has in a folder, as people's do. */
export function launchAt(dir: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(dir, options())
}

export interface Answer {
  type: string
  body: string | Buffer
}

export interface Origin {
  url: string
  close(): void
}

/**
 * An origin of the test's own on this machine, which is a secure context. `answer` gives what is at a path, undefined where there is nothing. WebSockets
 * are opened, and what comes over them is not read.
 */
export async function serve(answer: (path: string) => Answer | undefined | Promise<Answer | undefined>, host = '127.0.0.1'): Promise<Origin> {
  const server = createServer((req, res) => {
    void Promise.resolve(answer(new URL(req.url!, 'http://x').pathname)).then((a) => {
      if (a) res.writeHead(200, { 'content-type': a.type, 'cache-control': 'no-store' }).end(a.body)
      else res.writeHead(404).end()
    })
  })
  server.on('upgrade', (req, socket) => {
    const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    socket.on('error', () => socket.destroy())
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  })
  await new Promise<void>((ok) => server.listen(0, '127.0.0.1', ok))
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
