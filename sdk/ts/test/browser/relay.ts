/** Listens for tests that run in a page: what comes in is answered by the page's own code (shim/http.ts). */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'

export type FromPage =
  | { do: 'listen' }
  | { do: 'head'; id: number; status: number; headers: Record<string, string> }
  | { do: 'write' | 'end'; id: number; chunk: string }
  | { do: 'destroy'; id: number }
  | { do: 'close'; port: number }

export interface ToPage {
  id: number
  port: number
  method: string
  url: string
  headers: Record<string, string>
  body: string
}

/** Lets a page listen. What it returns ends all that still does. */
export async function relay(page: Page): Promise<() => void> {
  const servers = new Map<number, Server>()
  const open = new Map<number, ServerResponse>()
  let serial = 0

  const listen = async (): Promise<number> => {
    const server = createServer((req, res) => {
      const cors = { 'access-control-allow-origin': '*', 'access-control-allow-methods': '*', 'access-control-allow-headers': 'authorization, *', 'access-control-expose-headers': '*' }
      for (const [k, v] of Object.entries(cors)) res.setHeader(k, v)
      // A browser sends a request again by itself when a connection that it used before breaks: here each has its own, so that each is seen once.
      res.setHeader('connection', 'close')
      if (req.method === 'OPTIONS') return void res.writeHead(204).end()
      const id = ++serial
      open.set(id, res)
      res.once('close', () => open.delete(id))
      let body = ''
      req.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
      req.on('end', () => {
        const m: ToPage = { id, port, method: req.method!, url: req.url!, headers: req.headers as Record<string, string>, body }
        page.evaluate((m) => icnAsked(m), m).catch(() => res.destroy()) // the page is gone
      })
    })
    await new Promise<void>((ok) => server.listen(0, '127.0.0.1', ok))
    const { port } = server.address() as AddressInfo
    servers.set(port, server)
    return port
  }

  await page.exposeFunction('icnRelay', async (m: FromPage): Promise<number> => {
    if (m.do === 'listen') return listen()
    if (m.do === 'close') {
      const server = servers.get(m.port)
      servers.delete(m.port)
      server?.closeAllConnections()
      server?.close()
      return 0
    }
    const res = open.get(m.id)
    if (m.do === 'head') res?.writeHead(m.status, m.headers)
    else if (m.do === 'destroy') res?.destroy()
    else if (m.do === 'write') res?.write(m.chunk)
    else res?.end(m.chunk)
    return 0
  })
  return () => {
    for (const server of servers.values()) {
      server.closeAllConnections()
      server.close()
    }
  }
}
