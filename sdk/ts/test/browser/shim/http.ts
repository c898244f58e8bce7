/**
 * node:http for tests in a browser: a page cannot listen, so the test's process does (relay.ts), and has each request answered here. The requests
 * themselves go through the browser's network as any others.
 */
import type { FromPage, ToPage } from '../relay.js'

declare global {
  /** Tells the relay what to do; of `listen` the answer is the port. */
  var icnRelay: (m: FromPage) => Promise<number>
  /** Called by the relay. */
  var icnAsked: (m: ToPage) => void
}

type Handler = (req: Request, res: Response) => unknown

class Request implements AsyncIterable<string> {
  readonly method: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly #body: string

  constructor(m: ToPage) {
    ;[this.method, this.url, this.headers, this.#body] = [m.method, m.url, m.headers, m.body]
  }

  setEncoding(): void {}

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    if (this.#body !== '') yield this.#body
  }
}

class Response {
  headersSent = false
  readonly #headers: Record<string, string> = {}

  constructor(private readonly id: number) {}

  setHeader(name: string, value: string): void {
    this.#headers[name] = value
  }

  writeHead(status: number, headers: Record<string, string> = {}): void {
    this.headersSent = true
    void icnRelay({ do: 'head', id: this.id, status, headers: { ...this.#headers, ...headers } })
  }

  write(chunk: string): void {
    void icnRelay({ do: 'write', id: this.id, chunk })
  }

  end(chunk = ''): void {
    void icnRelay({ do: 'end', id: this.id, chunk })
  }

  destroy(): void {
    void icnRelay({ do: 'destroy', id: this.id })
  }
}

const handlers = new Map<number, Handler>() // by port

globalThis.icnAsked = (m) => void handlers.get(m.port)?.(new Request(m), new Response(m.id))

export class Server {
  #port = 0

  constructor(private readonly handler: Handler) {}

  listen(_port: number, _host: string, listening: () => void): void {
    void icnRelay({ do: 'listen' }).then((port) => {
      this.#port = port
      handlers.set(port, this.handler)
      listening()
    })
  }

  address(): { port: number } {
    return { port: this.#port }
  }

  closeAllConnections(): void {}

  close(closed: () => void): void {
    handlers.delete(this.#port)
    void icnRelay({ do: 'close', port: this.#port }).then(closed)
  }
}

export function createServer(handler: Handler): Server {
  return new Server(handler)
}
