/** What is published: what it weighs, what is in it, and that what is generated is what the tree says. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (file: string): string => readFileSync(root + file, 'utf8')

async function bundle(source: string): Promise<string> {
  const out = await build({
    stdin: { contents: source, resolveDir: root, loader: 'ts' }, bundle: true, minify: true, format: 'esm', platform: 'browser', target: 'es2022', write: false,
  })
  return out.outputFiles[0]!.text
}

// For a page on a phone: what everybody loads. The word list is of phrases alone, and is loaded with them.
test('the whole package is less than 56 KB on the wire, and the client without phrases less than 44', async (t) => {
  const all = gzipSync(await bundle("export * from './src/index.ts'")).length
  const core = gzipSync(await bundle("export { ICNClient, IndexedDBKeyStore } from './src/index.ts'")).length
  t.diagnostic(`all ${all} bytes, core ${core} bytes`)
  assert(all < 56 * 1024, `all: ${all} bytes`)
  assert(core < 44 * 1024, `core: ${core} bytes`)
})

test('it runs in browsers: nothing of Node is in it', async () => {
  const text = await bundle("export * from './src/index.ts'") // which fails on a module of Node's
  assert.doesNotMatch(text, /(?<![\w$.])(?:process|Buffer|global)\.|(?<![\w$.])require\(/)
})

test('the package holds what it should, and nothing else', () => {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'], shell: process.platform === 'win32' })
  const out = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], shell: process.platform === 'win32' })
  const packed = JSON.parse(out) as { files: { path: string }[] }[] | Record<string, { files: { path: string }[] }>
  const files = Object.values(packed)[0]!.files.map((f) => f.path)
  for (const f of files) assert.match(f, /^(dist\/.*\.(js|d\.ts)|package\.json|README\.md|LICENSE(-MIT|-APACHE)?)$/)
  for (const f of ['dist/index.js', 'dist/index.d.ts', 'dist/record/index.js', 'dist/keys/index.d.ts', 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE']) assert(files.includes(f), f)
})

test('versions are pinned, and no file names a registry', () => {
  const p = JSON.parse(read('package.json')) as { dependencies: Record<string, string>; devDependencies: Record<string, string> }
  for (const [name, v] of Object.entries({ ...p.dependencies, ...p.devDependencies })) assert.match(v, /^\d+\.\d+\.\d+$/, name)
  for (const f of ['package.json', 'package-lock.json', '.npmrc']) assert(!/registry\.|"resolved"/.test(read(f)), f)
})

test('what is generated is what the operation table says', (t) => {
  if (!existsSync(root + '../../docs/openapi.json')) return t.skip('docs/openapi.json is not in this tree')
  const run = spawnSync(process.execPath, ['scripts/generate.mjs', '--check'], { cwd: root, encoding: 'utf8' })
  assert.equal(run.status, 0, run.stderr)
})

test('the generator refuses what it does not know, and tells a stale file', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'icn-sdk-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const schema = (s: object): object => ({
    paths: { '/x': { get: { operationId: 'x.y', 'x-icn-kind': 'unary', 'x-icn-scope': 's', summary: 's', responses: { 200: { content: { 'application/json': { schema: s } } } } } } },
    components: { schemas: {} },
  })
  const run = (doc: object): ReturnType<typeof spawnSync> => {
    writeFileSync(join(dir, 'openapi.json'), JSON.stringify(doc))
    return spawnSync(process.execPath, ['scripts/generate.mjs', '--check', join(dir, 'openapi.json'), join(dir, 'none')], { cwd: root, encoding: 'utf8' })
  }
  const stale = run(schema({ type: 'string' }))
  assert.equal(stale.status, 1)
  assert.match(String(stale.stderr), /operations\.ts is stale/)
  assert.match(String(run(schema({ type: 'tuple' })).stderr), /does not know/)
  assert.match(String(run({ ...schema({}), paths: { '/x': { get: { operationId: 'x.y', 'x-icn-kind': 'job', responses: {} } } } }).stderr), /x-icn-kind job/)
})

test('the README shows the example as it is', () => {
  const readme = read('README.md')
  for (const f of readdirSync(root + 'examples')) assert(readme.includes(`examples/${f}`), f)
  const block = /```ts\n([\s\S]*?)```/.exec(readme)?.[1]
  assert.equal(block, read('examples/quickstart.ts'))
})
