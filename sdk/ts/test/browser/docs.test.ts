/** The page of documentation that a node serves (edge/openapi/page), as people meet it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type axe from 'axe-core'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { type Daemon, start } from '../e2e/daemon.js'
import { launch } from './chromium.js'
import { Watch } from './watch.js'

const rules = readFileSync(fileURLToPath(new URL('../../../node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8')

let browser: Browser
let node: Daemon

before(async () => {
  node = await start()
  browser = await launch()
})

after(async () => {
  await browser?.close()
  await node?.stop()
})

async function show(t: TestContext, options: BrowserContextOptions = {}, hash = ''): Promise<{ page: Page; watch: Watch }> {
  const context = await browser.newContext(options)
  t.after(() => context.close())
  const watch = await Watch.of(context)
  const page = await context.newPage()
  await page.goto(`${node.url}/docs${hash}`)
  await page.locator('#operations details').first().waitFor()
  return { page, watch }
}

/** What keeps people from reading the page, by the rules of axe. */
async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(rules) // not as a script of the page, whose policy refuses it
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run(document, { resultTypes: ['violations'] }))
  return violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200)).join('; ')}`)
}

const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } }

for (const [device, viewport] of Object.entries(sizes)) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test(`the page on a ${device}, ${colorScheme}, has all in it and shuts nobody out`, async (t) => {
      const { page, watch } = await show(t, { viewport, colorScheme })
      const operations = await page.locator('#operations > section > details').count()
      const doc = (await (await fetch(`${node.url}/openapi.json`)).json()) as { paths: Record<string, object> }
      assert.equal(operations, Object.values(doc.paths).flatMap((p) => Object.keys(p)).length)
      await page.evaluate(() => document.querySelectorAll('details').forEach((d) => (d.open = true)))
      await page.locator('#operations > section > details > .body').nth(operations - 1).waitFor()
      await page.evaluate(() => document.querySelectorAll('details').forEach((d) => (d.open = true))) // what was made when the others opened
      const wide = await page.evaluate(() => [document.documentElement.scrollWidth - innerWidth, ...[...document.querySelectorAll('.body, nav')].map((e) => e.scrollWidth - e.clientWidth)])
      assert(Math.max(...wide) <= 0, `wider than the screen by ${Math.max(...wide)} pixels`)
      // The rules on some of it: over all that is open they take many seconds.
      await page.evaluate(() => document.querySelectorAll('#operations > section > details:nth-of-type(n+2), #operations > section:nth-of-type(n+9), #schemas > details:nth-of-type(n+4)').forEach((d) => d.remove()))
      assert.deepEqual(await barriers(page), [])

      assert.deepEqual([...watch.origins], [node.url], 'nobody else is asked for anything')
      assert.deepEqual(watch.errors, [])
    })
  }
}

test('who has no mouse finds an operation and reads it', async (t) => {
  const { page } = await show(t)
  const at = (): Promise<string> => page.evaluate(() => document.activeElement!.id || document.activeElement!.textContent!.trim())
  const press = async (key: string): Promise<string> => (await page.keyboard.press(key), at())
  assert.equal(await press('Tab'), 'Skip to the operations')
  assert.equal(await press('Enter'), 'main')
  await page.locator('#search').focus()
  await page.keyboard.type('ledger transfer pay')
  assert.equal(await page.locator('#count').textContent(), '1 operation')
  assert.equal(await press('Tab'), 'ledger', 'of the groups those that have something')
  assert.match(await press('Tab'), /^POST\/ledger\/transfer/)
  await page.keyboard.press('Enter')
  const opened = page.locator('[id="ledger.transfer"]')
  await opened.locator('pre').last().waitFor()
  let stops = 0
  for (let focus = ''; focus !== 'Copy'; focus = await press('Tab')) assert(++stops < 20, `Copy is not reached: ${focus}`)
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => /^(Copied|Selected)/.test(document.activeElement!.textContent!.trim())) // the clipboard takes its time
})

test('an address with an operation opens it, and a link to a schema its own', async (t) => {
  const { page } = await show(t, {}, '#ledger.transfer')
  const opened = page.locator('[id="ledger.transfer"]')
  assert.equal(await opened.getAttribute('open'), '')
  await page.locator('#search').fill('no such thing')
  assert.equal(await page.locator('#count').textContent(), '0 operations')
  await page.locator('#search').fill('')
  await opened.getByRole('link', { name: 'DID' }).click()
  assert.equal(await page.locator('#schema-DID').getAttribute('open'), '')
})

test('what is wrong with a page is found', async (t) => {
  const { page, watch } = await show(t)
  await page.evaluate(() => {
    const script = document.createElement('script')
    script.textContent = 'globalThis.ran = true'
    document.body.append(script, document.createElement('button'))
  })
  assert.equal(await page.evaluate(() => (globalThis as { ran?: boolean }).ran), undefined)
  assert.match(watch.errors.join(), /Content Security Policy/)
  assert.match((await barriers(page)).join(), /critical button-name/)
})
