/** The package's own tests, the same files, in Chromium. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Browser } from 'playwright-core'
import { launch, type Origin, serve } from './chromium.js'
import { relay } from './relay.js'
import shim from './shim/assert.js'
import type { Outcome } from './shim/test.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const tree = fileURLToPath(new URL('../../../../../', import.meta.url))

/** What stays in Node, and why. */
const nodeOnly: Record<string, string> = {
  'node.test.ts': 'keys in files are for Node',
  'package.test.ts': 'it looks at files, and runs npm and the generator',
}

/** One file of tests for a browser: its entry runs them all. */
async function bundle(source: string): Promise<string> {
  const at = (name: string): string => `${root}test/browser/shim/${name}.ts`
  const out = await build({
    stdin: { contents: `${source}\nimport { run } from 'node:test'\nglobalThis.icnOutcomes = run()`, resolveDir: `${root}test`, loader: 'ts' },
    bundle: true, format: 'esm', platform: 'browser', target: 'es2022', write: false, sourcemap: 'inline',
    ignoreAnnotations: true, // the package says that its modules have no effect but what they export: its tests have
    alias: { 'node:assert/strict': at('assert'), 'node:test': at('test'), 'node:fs': at('fs'), 'node:http': at('http'), 'fake-indexeddb': at('indexeddb') },
  })
  return out.outputFiles[0]!.text
}

let browser: Browser
let origin: Origin
const bundles = new Map<string, string>()

before(async () => {
  browser = await launch()
  // Bundles stand where Node has the compiled tests, so that the paths of what they read are the same.
  origin = await serve((path) => {
    const [, name, kind] = /^\/sdk\/ts\/build\/test\/([\w.-]+?)(\.js|)$/.exec(path) ?? []
    if (name && kind === '.js') return { type: 'text/javascript', body: bundles.get(name)! }
    if (name) return { type: 'text/html', body: `<!doctype html><meta charset="utf-8"><title>${name}</title><script type="module" src="${path}.js"></script>` }
    if (/^\/[\w/-]+\.(?:json|md)$/.test(path) && existsSync(tree + path)) return { type: 'text/plain', body: readFileSync(tree + path) }
    return undefined
  })
})

after(async () => {
  origin?.close()
  await browser?.close()
})

/** Runs a bundle in a browser of its own: nothing is left of the one before. */
async function perform(name: string, source: string): Promise<Outcome[]> {
  bundles.set(name, await bundle(source))
  const context = await browser.newContext()
  const page = await context.newPage()
  const end = await relay(page)
  try {
    const broken = new Promise<never>((_, no) => page.once('pageerror', no))
    broken.catch(() => undefined)
    await page.goto(`${origin.url}/sdk/ts/build/test/${name}`)
    return await Promise.race([page.evaluate(() => (globalThis as unknown as { icnOutcomes: Promise<Outcome[]> }).icnOutcomes), broken])
  } finally {
    end()
    await context.close()
  }
}

for (const file of readdirSync(`${root}test`).filter((f) => f.endsWith('.test.ts'))) {
  test(`${file} in Chromium`, { skip: nodeOnly[file] ?? false, timeout: 120_000 }, async (t) => {
    const outcomes = await perform(file, `import './${file}'`)
    assert(outcomes.length > 1, `${file} has ${outcomes.length} tests`)
    t.diagnostic(`${outcomes.length} tests, of which ${outcomes.filter((o) => o.skipped !== undefined).length} skipped`)
    const failed = outcomes.filter((o) => o.error !== undefined)
    assert.equal(failed.length, 0, failed.map((o) => `${o.name}\n${o.error}`).join('\n\n'))
  })
}

test('what fails in the browser is told', async () => {
  const outcomes = await perform('planted', `
    import assert from 'node:assert/strict'
    import test from 'node:test'
    test('good', () => assert.equal(1, 1))
    test('bad', () => assert.equal(1, 2))
    test('late', async () => { await Promise.resolve(); throw new Error('late') })
    test('parts', async (t) => { await t.test('part', () => assert.fail('part of it')) })
    test('left out', { skip: 'for a reason' }, () => assert.fail('not run'))
    test('end', (t) => t.after(() => { throw new Error('at the end') }))`)
  const told = outcomes.map((o) => [o.name, o.error?.split('\n')[0] ?? o.skipped])
  assert.deepEqual(told, [
    ['good', undefined], ['bad', 'AssertionError: 1 is not 2'], ['late', 'Error: late'], ['parts > part', 'AssertionError: part of it'], ['parts', undefined], ['left out', 'for a reason'],
    ['end', 'after: Error: at the end'],
  ])
  await assert.rejects(perform('broken', "throw new Error('at loading')"), /at loading/)
})

test("the browser's assertions hold what Node's do", async () => {
  const bytes = Uint8Array.of(1, 2)
  const values: unknown[] = [
    undefined, null, 0, -0, 1, 1n, '1', '', NaN, true, false, [], [1], [1, undefined], [, 1], {}, { a: 1 }, { a: 1, b: undefined }, { b: 1 }, bytes, Uint8Array.of(1, 2), Uint8Array.of(1),
    new Date(5), new Date(6), [[1], { a: [bytes] }], [[1], { a: [Uint8Array.of(1, 2)] }], new Error('x'), Object.create(null),
  ]
  const holds = (f: () => void): boolean => {
    try {
      f()
      return true
    } catch {
      return false
    }
  }
  for (const a of values) {
    assert.equal(holds(() => shim(a)), holds(() => assert(a)))
    for (const b of values) {
      for (const what of ['equal', 'notEqual', 'deepEqual'] as const) {
        if (what === 'deepEqual' && (a instanceof Error || b instanceof Error)) continue // of errors Node looks at what is not enumerable, too
        assert.equal(holds(() => shim[what](a, b)), holds(() => assert[what](a, b)), `${what}: ${values.indexOf(a)} and ${values.indexOf(b)}`)
      }
    }
  }
  const boom = (): never => {
    throw new TypeError('boom')
  }
  for (const f of [boom, () => 5]) {
    for (const check of [undefined, /boom/, /bang/, () => true, () => false]) {
      const want = holds(() => assert.throws(f, check as () => boolean))
      assert.equal(holds(() => shim.throws(f, check)), want)
      assert.equal(await shim.rejects(async () => f(), check).then(() => true, () => false), want)
    }
  }
  for (const re of [/a/, /b/]) {
    assert.equal(holds(() => shim.match('a', re)), holds(() => assert.match('a', re)))
    assert.equal(holds(() => shim.doesNotMatch('a', re)), holds(() => assert.doesNotMatch('a', re)))
  }
})
