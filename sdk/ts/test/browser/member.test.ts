/** A member with nothing but a browser, against a node that runs: `make sdk-browser`. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { entropyToMnemonic, mnemonicToEntropy } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english'
import { build } from 'esbuild'
import type { Browser, BrowserContext, Page, Route } from 'playwright-core'
import { Phrase } from '../../src/keys/phrase.js'
import { toBase58 } from '../../src/record/bytes.js'
import { publicKey } from '../../src/record/ed25519.js'
import { fromHex, toHex } from '../../src/record/index.js'
import { type Daemon, start } from '../e2e/daemon.js'
import { launch, launchAt, type Origin, serve } from './chromium.js'
import type {} from './page/member.js'
import { search, type Secret } from './secrets.js'
import { Watch } from './watch.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const submit = '**/records/submit*'

let browser: Browser
let origin: Origin
let node: Daemon
const dir = mkdtempSync(join(tmpdir(), 'icn-browser-'))

before(async () => {
  const out = await build({
    entryPoints: [`${root}test/browser/page/member.ts`], bundle: true, format: 'esm', platform: 'browser', target: 'es2022', write: false,
    tsconfigRaw: {}, // without the paths of tsconfig.json: the package as it is published, not its sources
    metafile: true, absWorkingDir: root,
  })
  assert('dist/index.js' in out.metafile.inputs, 'the page uses the package as it was built')
  const script = out.outputFiles[0]!.text
  const lists = ['signed', 'events'].map((id) => `<h2>${id}</h2><ol id="${id}"></ol>`).join('')
  const html = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Mill Lane</title><link rel="icon" href="data:,"><h1>Mill Lane</h1>${lists}<script type="module" src="/member.js"></script>`
  origin = await serve((path) => {
    if (path === '/member.js') return { type: 'text/javascript', body: script }
    if (path === '/' || path === '/leak') return { type: 'text/html', body: html }
    return undefined
  }, 'localhost')
  node = await start({ ICN_GATEWAY_CORS_ORIGINS: origin.url })
  browser = await launch()
})

after(async () => {
  await browser?.close()
  await node?.stop()
  origin?.close()
  rmSync(dir, { recursive: true })
})

/** Notes the randomness that phrases are made of, and the seeds of generated keys, which a page can not see otherwise. */
function spy(): void {
  if (!isSecureContext) return // the empty page that each one is before it is loaded
  const seen = { random: [] as number[][], seeds: [] as number[][], kept: false }
  const draw = crypto.getRandomValues.bind(crypto)
  crypto.getRandomValues = (a) => {
    const b = draw(a) as unknown as Uint8Array
    if (b.byteLength === 32) seen.random.push([...new Uint8Array(b.buffer, b.byteOffset, 32)])
    return a
  }
  const generate = crypto.subtle.generateKey.bind(crypto.subtle) as (...a: unknown[]) => Promise<CryptoKeyPair>
  crypto.subtle.generateKey = (async (algorithm: AlgorithmIdentifier, extractable: boolean, uses: KeyUsage[]) => {
    if (algorithm !== 'Ed25519') return generate(algorithm, extractable, uses)
    const { publicKey, privateKey } = await generate(algorithm, true, uses)
    const pkcs8 = new Uint8Array(await crypto.subtle.exportKey('pkcs8', privateKey))
    seen.seeds.push([...pkcs8.slice(-32)])
    return { publicKey, privateKey: await crypto.subtle.importKey('pkcs8', pkcs8, algorithm, extractable, ['sign']) }
  }) as typeof crypto.subtle.generateKey
  const persist = navigator.storage.persist.bind(navigator.storage)
  navigator.storage.persist = () => {
    seen.kept = true
    return persist()
  }
  Object.assign(globalThis, { icnSpied: seen })
}

interface Browsing {
  context: BrowserContext
  watch: Watch
  page: Page
  open: (retries?: number) => Promise<Page>
}

async function browse(t: TestContext, context?: BrowserContext, at = node): Promise<Browsing> {
  context ??= await browser.newContext()
  t.after(() => context.close())
  await context.addInitScript(spy)
  const watch = await Watch.of(context)
  const open = async (retries = 4): Promise<Page> => {
    const page = await context.newPage()
    await page.goto(`${origin.url}/?node=${encodeURIComponent(at.url)}&retries=${retries}`)
    return page
  }
  return { context, watch, page: await open(), open }
}

/** Makes the keys in the page, and returns all that must not leave it. */
async function create(page: Page): Promise<{ did: string; device: string; words: string; secrets: Secret[] }> {
  const { did, device, words } = await page.evaluate(() => icnMember.create())
  const spied = await page.evaluate(() => (globalThis as unknown as { icnSpied: { random: number[][]; seeds: number[][]; kept: boolean } }).icnSpied)
  const phrase = Phrase.parse(words)
  const entropy = spied.random.map((b) => Uint8Array.from(b)).find((b) => toHex(b) === toHex(mnemonicToEntropy(words, wordlist)))
  const seed = spied.seeds.map((b) => Uint8Array.from(b)).find((b) => toHex(publicKey(b)) === device)
  assert(entropy && seed, 'the secrets are known here')
  assert(spied.kept, 'the browser is asked not to throw the key away')
  return {
    did, device, words,
    secrets: [
      { name: 'the phrase', bytes: entropy }, { name: 'the root key', bytes: phrase.seed(0) }, { name: 'the next root key', bytes: phrase.seed(1) }, { name: 'the device key', bytes: seed },
    ],
  }
}

/** Admits a member without more ado. */
async function admitted(page: Page, at = node): Promise<{ did: string }> {
  const { did, device } = await create(page)
  at.ctl('member', 'add', '--space', at.space, did, device)
  return { did }
}

function pay(page: Page, amount: number, memo = '', at = node): Promise<string> {
  return page.evaluate(([space, to, amount, memo]) => icnMember.pay(space, to, amount, memo), [at.space, at.did, amount, memo] as const)
}

const balance = (page: Page): Promise<number> => page.evaluate((space) => icnMember.balance(space), node.space)

/** Waits until the page has so many of something. */
async function listed(page: Page, list: string, n: number): Promise<string[]> {
  await page.locator(`#${list} li`).nth(n - 1).waitFor()
  return page.locator(`#${list} li`).allTextContents()
}

const listen = (page: Page, at = node): Promise<void> => page.evaluate((space) => icnMember.listen(space), at.space)

test('a member with nothing but a browser joins, is paid, pays back and sees it happen, and the key stays there', async (t) => {
  const { watch, page } = await browse(t)
  const { did, device, secrets } = await create(page)
  const { invitation } = node.ctl('space', 'invite', '--space', node.space) as { invitation: string }
  await page.evaluate((i) => icnMember.join(i), invitation)

  await listen(page)
  node.ctl('ledger', 'transfer', '--space', node.space, did, '3.00')
  const [got] = await listed(page, 'events', 1)
  assert.match(got!, /^ledger\./)
  assert.equal(await balance(page), 300)
  const paid = await pay(page, 100, 'bread')
  assert((await listed(page, 'events', 2))[1]!.includes(paid), 'what the page pays comes back to it as an event')
  assert.equal(await balance(page), 200)
  const signed = await page.locator('#signed li').allTextContents()
  assert.equal(signed.at(-1), `Pay 100 minor units of hours to ${node.did} for "bread".`)

  await page.reload()
  assert.equal(await page.evaluate(() => icnMember.who()), did)
  assert.deepEqual((await page.evaluate(() => icnMember.login())).did, did)
  await pay(page, 50)
  assert.equal(await balance(page), 150)
  assert.deepEqual(await page.evaluate(() => icnMember.read()), Array(4).fill('InvalidAccessError'), 'nobody reads the key, the page included')

  await watch.storage(page)
  const seen = await watch.all()
  assert.deepEqual(search(seen, secrets), [])
  // It was looked for where it would have been: what may be seen, was.
  const open = search(seen, [{ name: 'the public key', bytes: fromHex(device) }]).join('\n')
  for (const where of ['hex in the body of POST /api/v1/auth/challenge', 'base64 in the body of POST /api/v1/auth/verify', 'base64 in the body of POST /api/v1/records/submit', 'base64 in the answer to POST /api/v1/records/prepare']) {
    assert(open.includes(`the public key as ${where}`), `${where}:\n${open}`)
  }
  assert(seen.some((s) => s.where === 'a stream' && s.text.includes(paid)), 'streams are read, too')
  assert(seen.some((s) => s.where === 'databases' && s.text.includes('"extractable":false')), 'and the database with the key')
  assert.deepEqual([...watch.origins].sort(), [origin.url, node.url].sort(), 'nobody else was asked for anything')
  assert.deepEqual(watch.errors.filter((e) => !/status of 401|status of 403/.test(e)), [])
})

test('a second browser is let in by a picture, six digits and the phrase, and pays; no key leaves either', async (t) => {
  const phone = await browse(t)
  const { did, device, words, secrets } = await create(phone.page)
  node.ctl('member', 'add', '--space', node.space, did, device)
  await pay(phone.page, 5)

  const tablet = await browse(t)
  const shown = await tablet.page.evaluate(() => icnMember.pair())
  const done = tablet.page.evaluate(() => icnMember.paired())
  const allot = [shown.payload, shown.code, words, node.space, 200] as const
  assert.equal(await phone.page.evaluate((a) => icnMember.letIn(...a), allot), shown.device)
  assert.deepEqual([(await done).did, (await done).device], [did, shown.device])
  const spied = await tablet.page.evaluate(() => (globalThis as unknown as { icnSpied: { seeds: number[][] } }).icnSpied)

  await tablet.page.reload()
  assert.equal(await tablet.page.evaluate(() => icnMember.who()), did)
  let paid = ''
  for (let i = 0; !/^[0-9a-f]{64}$/.test(paid) && i < 100; i++) {
    paid = await pay(tablet.page, 75, 'from the tablet') // once the witnesses hold the allotment final
    if (paid === 'refused') await new Promise((ok) => setTimeout(ok, 100))
  }
  assert.deepEqual(await amounts(did), [5, 75])
  assert.deepEqual(await tablet.page.evaluate(() => icnMember.read()), Array(4).fill('InvalidAccessError'))

  const key = { name: "the tablet's key", bytes: Uint8Array.from(spied.seeds.at(-1)!) }
  assert.equal(toHex(publicKey(key.bytes)), shown.device)
  for (const { watch, page } of [phone, tablet]) {
    await watch.storage(page)
    assert.deepEqual(search(await watch.all(), [...secrets, key]), [])
  }
})

test('a key that leaves the page is found', async (t) => {
  const { watch, page } = await browse(t)
  const { secrets } = await create(page)
  const bytes = secrets.find((s) => s.name === 'the device key')!.bytes
  const base64 = Buffer.from(bytes).toString('base64')
  const words = secrets.find((s) => s.name === 'the phrase')!
  const post = (body: string | number[]): Promise<unknown> =>
    page.evaluate((b) => fetch('/leak', { method: 'POST', body: typeof b === 'string' ? b : Uint8Array.from(b) }), body)
  const get = (query: string): Promise<unknown> => page.evaluate((q) => fetch(`/leak?k=${q}`), query)

  const planted: Record<string, () => Promise<unknown>> = {
    'bytes in the body of POST /leak': () => post([...bytes]),
    'hex in the URL of GET /leak': () => get(Buffer.from(bytes).toString('hex').toUpperCase()),
    'base64 in the headers of GET /leak': () => page.evaluate((k) => fetch('/leak', { headers: { 'x-k': k } }), base64.replaceAll('+', '-').replaceAll('/', '_').replace('=', '')),
    'base64 in the body of POST /leak': () => post(JSON.stringify({ auth: Buffer.concat([Buffer.from('pk'), bytes, Buffer.from('more')]).toString('base64') })),
    'base64 in the URL of GET /leak': () => get(encodeURIComponent(Buffer.concat([Buffer.from('p'), bytes.subarray(16)]).toString('base64'))),
    'base58 in the body of POST /leak': () => post(`z${toBase58(Uint8Array.of(0x80, 0x26, ...bytes))}`),
    'base58 in the URL of GET /leak': () => get(toBase58(bytes)),
    'numbers in the body of POST /leak': () => post(JSON.stringify(bytes.subarray(0, 16))),
    'hex in localStorage': () => page.evaluate((k) => localStorage.setItem('k', k), Buffer.from(bytes).toString('hex')),
    'base64 in sessionStorage': () => page.evaluate((k) => sessionStorage.setItem('k', k), base64),
    'numbers in databases': () => page.evaluate((b) => new Promise((ok) => {
      const req = indexedDB.open('more')
      req.onupgradeneeded = () => req.result.createObjectStore('k').put(Uint8Array.from(b), 'k')
      req.onsuccess = () => ok(req.result.close())
    }), [...bytes]),
    'base64 in the console': () => page.evaluate((k) => console.log('key', k), base64),
    'hex in a message sent over a WebSocket': () => page.evaluate(([url, k]) => new Promise((ok, no) => {
      const ws = new WebSocket(url)
      ws.onopen = () => ok(ws.send(k))
      ws.onerror = no
    }), [`${origin.url.replace('http', 'ws')}/leak`, Buffer.from(bytes).toString('hex')] as const),
    'hex in the body of POST /leak': () => page.evaluate((k) => navigator.sendBeacon('/leak', k), Buffer.from(bytes).toString('hex').replace(/../g, '$&:')),
  }
  const phrased: Record<string, () => Promise<unknown>> = {
    'words in the URL of GET /leak': () => get(entropyToMnemonic(words.bytes, wordlist).replaceAll(' ', '%20')),
    'words in the body of POST /leak': () => post(JSON.stringify(entropyToMnemonic(words.bytes, wordlist).split(' ').slice(0, 12))),
  }
  await watch.storage(page)
  assert.deepEqual(search(await watch.all(), secrets), [], 'nothing before')
  for (const [name, all] of [['the device key', planted], ['the phrase', phrased]] as const) {
    for (const [where, leak] of Object.entries(all)) {
      await watch.all()
      watch.seen.length = 0
      await page.evaluate(() => {
        localStorage.clear()
        sessionStorage.clear()
        indexedDB.deleteDatabase('more')
      })
      await leak()
      await watch.storage(page)
      const found = search(await watch.all(), secrets)
      assert(found.includes(`${name} as ${where}`), `${where}: ${found.join(', ') || 'nothing'}`)
      assert(found.every((f) => f.startsWith(name)), found.join(', '))
    }
  }
})

test('tabs of one browser write one after the other', async (t) => {
  const { page, open, watch } = await browse(t)
  const { did } = await admitted(page)
  const tabs = [page, await open(), await open()]
  const ids = await Promise.all(Array.from({ length: 9 }, (_, i) => pay(tabs[i % 3]!, 1 + i)))
  assert.equal(new Set(ids.map((id) => assert.match(id, /^[0-9a-f]{64}$/) ?? id)).size, 9)
  assert.deepEqual(await amounts(did), [1, 2, 3, 4, 5, 6, 7, 8, 9])
  const sent = (await watch.all()).filter((s) => s.where === 'the body of POST /api/v1/records/submit')
  assert.equal(sent.length, 9, 'no place was signed for twice: nothing had to be sent again')
})

// Without TLS a browser has six connections to a node, and a stream takes one for as long as it is open.
test('over https more tabs listen than a browser opens connections', async (t) => {
  execFileSync('go', ['run', join(execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim(), 'src/crypto/tls/generate_cert.go'), '--host', '127.0.0.1', '--ecdsa-curve', 'P256'], { cwd: dir, stdio: 'ignore' })
  const safe = await start({ ICN_GATEWAY_CORS_ORIGINS: origin.url, ICN_GATEWAY_TLS_CERT: join(dir, 'cert.pem'), ICN_GATEWAY_TLS_KEY: join(dir, 'key.pem') })
  t.after(() => safe.stop())
  const { page, open } = await browse(t, await browser.newContext({ ignoreHTTPSErrors: true }), safe)
  await admitted(page, safe)
  const tabs = [page, ...(await Promise.all([1, 2, 3, 4, 5, 6, 7].map(() => open())))]
  for (const tab of tabs) await listen(tab, safe)
  const id = await pay(page, 5, '', safe)
  for (const tab of tabs) assert((await listed(tab, 'events', 1))[0]!.includes(id))
})

/** The amounts that a member has paid, as the node has them. */
async function amounts(did: string): Promise<number[]> {
  const { entries } = node.ctl('ledger', 'history', '--space', node.space, did) as { entries?: { amount: number }[] }
  return (entries ?? []).map((e) => Math.abs(e.amount)).sort((a, b) => a - b)
}

for (const taken of [false, true]) {
  test(`a payment that is cut off ${taken ? 'before its answer comes' : 'before it reaches the node'} is made once`, async (t) => {
    const { context, page } = await browse(t)
    const { did } = await admitted(page)
    const cut = async (route: Route): Promise<void> => {
      if (taken) await route.fetch()
      await context.setOffline(true)
      await route.abort('internetdisconnected')
    }
    await page.route(submit, cut, { times: 1 })
    assert.equal(await pay(page, 7, 'bread'), 'network, pending')
    assert.equal(await page.evaluate(() => navigator.onLine), false)
    assert.deepEqual(await amounts(did), taken ? [7] : [])
    await context.setOffline(false)
    await page.reload() // what was signed is in the browser's database, and nowhere else
    assert.equal(await page.evaluate(() => icnMember.pending()), 1)
    assert.match(await pay(page, 7, 'bread'), /^[0-9a-f]{64}$/)
    assert.deepEqual(await amounts(did), [7])
    assert.equal(await page.evaluate(() => icnMember.pending()), 0)
    await pay(page, 8)
    assert.deepEqual(await amounts(did), [7, 8])
  })

  test(`a payment during which the node goes down, ${taken ? 'after' : 'before'} it has it, is made once, and the stream goes on`, async (t) => {
    const { page, open } = await browse(t)
    await page.close()
    const tab = await open(30)
    const { did } = await admitted(tab)
    await listen(tab)
    await pay(tab, 5)
    await listed(tab, 'events', 1)
    await tab.route(submit, async (route) => {
      if (taken) await route.fetch()
      await node.kill()
      await route.abort('connectionreset')
      await node.again()
    }, { times: 1 })
    const id = await pay(tab, 7, 'bread') // the very call goes on
    assert.match(id, /^[0-9a-f]{64}$/)
    assert.deepEqual(await amounts(did), [5, 7])
    const told = await listed(tab, 'events', 2)
    assert.equal(told.filter((e) => e.includes(id)).length, 1, told.join('\n'))
  })
}

test('the key is still there when the browser is started again', async (t) => {
  const before = await browse(t, await launchAt(join(dir, 'profile')))
  const { did } = await admitted(before.page)
  await pay(before.page, 5)
  await before.context.close()
  const { page } = await browse(t, await launchAt(join(dir, 'profile')))
  assert.equal(await page.evaluate(() => icnMember.who()), did)
  await pay(page, 6)
  assert.deepEqual(await amounts(did), [5, 6])
})

test('a page of another origin gets nothing from the node', async (t) => {
  const { page, watch } = await browse(t)
  await page.goto(page.url().replace('localhost', '127.0.0.1'))
  await create(page)
  assert.match(await page.evaluate(() => icnMember.login().then(() => 'in', (err: { kind: string }) => err.kind)), /^network$/)
  assert(watch.errors.some((e) => /CORS policy/.test(e)), watch.errors.join('\n'))
})
