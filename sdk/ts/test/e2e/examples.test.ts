/** The programs of examples/ as their readers run them, against a node that runs; and the bot killed wherever that could make it pay twice, or not at all. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Daemon, missing, start } from './daemon.js'

const root = fileURLToPath(new URL('../../../../../examples/', import.meta.url))
const skip = missing() ?? false
let node: Daemon

before(async () => {
  if (skip) return
  for (const example of ['quickstart', 'bot']) assert(existsSync(join(root, example, 'node_modules/@icn/client')), `npm ci in examples/${example}, or make sdk-e2e`)
  node = await start()
})
after(() => node?.stop())

test('the examples fit the types of the package', () => {
  const tsc = fileURLToPath(new URL('../../../node_modules/typescript/bin/tsc', import.meta.url))
  const types = fileURLToPath(new URL('../../../node_modules/@types', import.meta.url))
  const files = ['quickstart/quickstart.mjs', 'bot/bot.mjs'].map((f) => join(root, f))
  execFileSync(process.execPath, [tsc, '--noEmit', '--checkJs', '--strict', '--target', 'es2022', '--module', 'nodenext', '--skipLibCheck', '--typeRoots', types, '--types', 'node', ...files], { stdio: 'inherit' })
})

/** A program that runs, and what it has said. */
class Program {
  readonly #child: ChildProcess
  readonly ended: Promise<number | string>
  #said = ''
  #look = (): void => undefined

  constructor(script: string, args: string[], cwd: string) {
    this.#child = spawn(process.execPath, [join(root, script), ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const out of [this.#child.stdout!, this.#child.stderr!]) {
      out.on('data', (chunk: Buffer) => {
        this.#said += chunk.toString()
        this.#look()
      })
    }
    this.ended = new Promise((ok) => this.#child.once('close', (code, signal) => ok(signal ?? code ?? '')))
  }

  /** The match of a pattern in what the program says, sooner or later. It has to run. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const found = new Promise<RegExpExecArray>((ok) => {
      this.#look = () => {
        const m = pattern.exec(this.#said)
        if (m) ok(m)
      }
      this.#look()
    })
    const over = this.ended.then((how) => {
      throw new Error(`it ended with ${how} and did not say ${pattern}: ${this.#said}`)
    })
    over.catch(() => undefined)
    return Promise.race([found, over])
  }

  get said(): string {
    return this.#said
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

function folder(t: { after(f: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'icn-example-'))
  t.after(() => rmSync(dir, { recursive: true }))
  return dir
}

function invitation(): string {
  return (node.ctl('space', 'invite', '--space', node.space) as { invitation: string }).invitation
}

/** What the account of the node's own member says of payments from somebody. */
function paidBy(did: string): { amount: number; memo: string }[] {
  const { entries } = node.ctl('ledger', 'history', '--space', node.space, '--limit', '500') as unknown as { entries: { from: string; amount: number; memo: string }[] }
  return entries.filter((e) => e.from === did)
}

test('quickstart: a member is made, joins, is paid, pays back, and is the same one the next time', { skip }, async (t) => {
  const cwd = folder(t)
  const first = new Program('quickstart/quickstart.mjs', [node.url, invitation()], cwd)
  const did = (await first.says(/^you are (did:icn:\w+)$/m))[1]!
  await first.says(/waiting for a payment/)
  node.ctl('ledger', 'transfer', '--space', node.space, did, '3.00', '--memo', 'welcome')
  assert.equal(await first.ended, 0, first.said)
  assert.match(first.said, /has paid 3\.00 for "welcome"[^]*paid back, final[^]* {2}-1\.50 hours {2}half of it back[^]* {2}3\.00 hours {2}welcome[^]*balance 1\.50 hours/)

  const again = new Program('quickstart/quickstart.mjs', [node.url], cwd)
  assert.equal(await again.ended, 0, again.said)
  assert.match(again.said, new RegExp(`^you are ${did}\nmember of Mill Lane\n`))
  assert.match(again.said, /balance 1\.50 hours/)
  assert.deepEqual(paidBy(did).map((e) => e.amount), [150])
})

/** A way to the node that stops at a request, in either direction, and tells. */
class Road {
  readonly #server: Server
  /** The request at which all ends: the nth to a path, on its way or once it is answered. */
  trap: { path: string; nth: number; answered: boolean; spring: () => void } | undefined

  constructor() {
    this.#server = createServer((req, res) => {
      const sprung = this.trap !== undefined && req.url!.includes(this.trap.path) && --this.trap.nth === 0 ? this.trap : undefined
      if (sprung && !sprung.answered) return sprung.spring()
      const up = request(node.url + req.url!, { method: req.method!, headers: req.headers }, (from) => {
        if (sprung) {
          from.resume().once('end', sprung.spring)
          return
        }
        res.writeHead(from.statusCode!, from.headers)
        res.flushHeaders()
        from.pipe(res).once('error', () => from.destroy())
        from.once('error', () => res.destroy())
      })
      up.once('error', () => res.destroy())
      res.once('close', () => up.destroy())
      req.pipe(up)
    })
  }

  async open(): Promise<string> {
    await new Promise<void>((ok) => this.#server.listen(0, '127.0.0.1', ok))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

test('bot: it answers each ping once, wherever it is killed, and while its node is', { skip }, async (t) => {
  const dir = join(folder(t), 'bot')
  const road = new Road()
  const url = await road.open()
  t.after(() => road.close())
  let bot = new Program('bot/bot.mjs', [url, dir, invitation()], root)
  t.after(() => bot.kill())
  const did = (await bot.says(/^ready (did:icn:\w+)$/m))[1]!
  assert.equal(statSync(join(dir, 'keys.json')).mode & 0o777, 0o600)
  assert(!readFileSync(join(dir, 'keys.json'), 'utf8').includes(/once: (\w+ \w+)/.exec(bot.said)![1]!), 'the phrase is in no file')

  let pings = 0
  const ping = (memo = 'ping'): number => {
    const amount = 100 + ++pings
    node.ctl('ledger', 'transfer', '--space', node.space, did, (amount / 100).toFixed(2), '--memo', memo)
    return amount
  }
  const answered = async (amount: number): Promise<unknown> => bot.says(new RegExp(`^pong ${amount} `, 'm'))

  await answered(ping())
  const others = ping('no game')

  for (const [path, nth, isAnswered] of [
    ['/records/prepare', 1, false], // it has seen the ping
    ['/records/prepare', 1, true], // it has not signed yet
    ['/records/submit', 1, false], // it has signed, and the node does not know
    ['/records/submit', 1, true], // the node has it, and the bot does not know
    ['/records/prepare', 2, true], // the bot knows, and has not kept how far it has come
  ] as const) {
    road.trap = { path, nth, answered: isAnswered, spring: () => bot.kill() }
    const amount = ping()
    assert.equal(await bot.ended, 'SIGKILL', bot.said)
    road.trap = undefined
    bot = new Program('bot/bot.mjs', [url, dir], root)
    await answered(amount)
  }

  const nodeless = ping()
  await node.kill()
  await node.again()
  await answered(nodeless)
  const last = ping()
  await answered(last)

  bot.kill()
  assert.equal(await bot.ended, 'SIGKILL')
  bot = new Program('bot/bot.mjs', [url, dir], root)
  await answered(ping())
  assert.doesNotMatch(bot.said, new RegExp(`pong ${nodeless} `), 'it goes on where it was')

  const want = Array.from({ length: pings }, (_, i) => 101 + i).filter((amount) => amount !== others)
  const pongs = paidBy(did)
  assert(pongs.every((e) => e.memo === 'pong'))
  assert.deepEqual(pongs.map((e) => e.amount).sort((a, b) => a - b), want, 'each ping has one pong')
  bot.kill()
  await bot.ended
  assert.deepEqual(readdirSync(dir).filter((f) => f.startsWith('keys.json')).sort(), ['keys.json', 'keys.json.lock'])
})
