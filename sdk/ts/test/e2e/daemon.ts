/** A node of its own for the tests: made in a new folder, founded with a space, and gone at the end. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createMember, ICNClient, ICNError, type ICNClientOptions, MemoryKeyStore } from '../../src/index.js'

export interface Daemon {
  url: string
  /** Whose node it is, registrar of the space. */
  did: string
  space: string
  /** Runs icnctl and returns what it answers. */
  ctl(...args: string[]): Record<string, unknown>
  stop(): Promise<void>
  /** Ends it at once, as a power cut does. */
  kill(): Promise<void>
  /** Starts it again where it was, after `kill`. */
  again(): Promise<void>
}

/** Why no node can be started, or undefined. ICN_E2E_BIN is the folder with icnd and icnctl. */
export function missing(): string | undefined {
  const bin = process.env.ICN_E2E_BIN
  if (!bin) return 'ICN_E2E_BIN is not set: the folder with icnd and icnctl, e.g. ../../bin after `make build`'
  if (!existsSync(join(bin, 'icnd'))) return `there is no icnd in ${bin}: make build`
  const help = execFileSync(join(bin, 'icnd'), ['run', '--help'], { encoding: 'utf8' })
  return help.includes('--gateway-enable') ? undefined : `the icnd in ${bin} has no gateway`
}

/** @param settings of its configuration, as the environment has them: ICN_GATEWAY_CORS_ORIGINS. */
export async function start(settings: Record<string, string> = {}): Promise<Daemon> {
  const bin = resolve(process.env.ICN_E2E_BIN!)
  const dir = mkdtempSync(join(tmpdir(), 'icn-e2e-'))
  const data = join(dir, 'data')
  const env = { ...process.env, ICN_KEYSTORE_PASSPHRASE: 'for this test only', ICN_DATA_DIR: data, ...settings }
  execFileSync(join(bin, 'icnd'), ['init', '--data-dir', data], { env, stdio: 'ignore' })
  let daemon: ChildProcess | undefined
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (daemon && daemon.exitCode === null && daemon.signalCode === null) {
      const over = new Promise((ok) => daemon!.once('exit', ok))
      daemon.kill(signal)
      await over
    }
  }
  /** Resolves with the address once the gateway answers. */
  const run = (bind: string): Promise<string> => {
    const d = spawn(join(bin, 'icnd'), ['run', '--data-dir', data, '--listen', '', '--metrics-bind', 'off', '--gateway-enable', '--gateway-bind', bind], {
      env, stdio: ['ignore', 'ignore', 'pipe'],
    })
    daemon = d
    return new Promise((ok, bad) => {
      let log = ''
      d.stderr.on('data', (chunk: Buffer) => {
        if (log.length > 1 << 20) return // it is read on, so that the daemon does not wait, and kept no more
        log += chunk.toString()
        const addr = /"the gateway answers","addr":"([^"]+)"/.exec(log)?.[1]
        if (addr) ok(addr)
      })
      d.once('exit', () => bad(new Error(`icnd ended: ${log}`)))
    })
  }
  const stop = async (): Promise<void> => {
    await end('SIGTERM')
    rmSync(dir, { recursive: true })
  }
  try {
    const addr = await run('127.0.0.1:0')
    const ctl = (...args: string[]): Record<string, unknown> => JSON.parse(execFileSync(join(bin, 'icnctl'), [...args, '--json'], { env, encoding: 'utf8' })) as Record<string, unknown>
    const { space } = ctl('space', 'create', 'Mill Lane') as { space: string }
    const { did } = ctl('id', 'show') as { did: string }
    const scheme = settings.ICN_GATEWAY_TLS_CERT ? 'https' : 'http'
    return { url: `${scheme}://${addr}`, did, space, ctl, stop, kill: () => end('SIGKILL'), again: async () => {
      await run(addr)
      while (!(await fetch(`${scheme}://${addr}/readyz`)).ok) await new Promise((ok) => setTimeout(ok, 50))
    } }
  } catch (err) {
    await stop()
    throw err
  }
}

/** Somebody with nothing but a key, whom the registrar has admitted. */
export interface Somebody {
  client: ICNClient
  did: string
  keys: MemoryKeyStore
  /** The words from which the keys can be made again. */
  words: string
  /** Pays the node's own member, and returns the id of the record. */
  pay(amount: number, memo: string): Promise<string>
}

export async function member(node: Daemon, options: Partial<ICNClientOptions> = {}): Promise<Somebody> {
  const keys = new MemoryKeyStore()
  const { member, phrase } = await createMember(keys)
  const words = phrase.text()
  phrase.wipe()
  node.ctl('member', 'add', '--space', node.space, member.did, member.device.key)
  const client = new ICNClient({ baseUrl: node.url, keys, pause: 1, ...options })
  const pay = async (amount: number, memo: string): Promise<string> =>
    (await client.ledger.transfer({ space: node.space, to: node.did, currency: 'hours', amount, memo })).receipt.position.id
  return { client, did: member.did, keys, words, pay }
}

/** Calls again while the registrar and the witnesses have their part to do. */
export async function eventually<T>(what: () => Promise<T>): Promise<T> {
  for (let i = 0; ; i++) {
    try {
      return await what()
    } catch (err) {
      if (!(err instanceof ICNError) || i > 150) throw err
      await new Promise((ok) => setTimeout(ok, 200))
    }
  }
}
