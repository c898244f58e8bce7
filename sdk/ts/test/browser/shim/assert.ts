/** What of node:assert/strict the tests use, for browsers. unit.test.ts holds it against Node's. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

type Check = RegExp | ((err: never) => boolean) | undefined

function show(v: unknown): string {
  return JSON.stringify(v, (_, x: unknown) => (typeof x === 'bigint' ? `${x}n` : x instanceof Uint8Array ? [...x] : x === undefined ? 'undefined' : x)) ?? String(v)
}

function fail(message: unknown = 'failed'): never {
  throw message instanceof Error ? message : new AssertionError(String(message))
}

function same(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b)
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (a instanceof Map || a instanceof Set) throw new AssertionError('deepEqual: maps and sets are not compared here')
  if (a instanceof Date && a.getTime() !== (b as Date).getTime()) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && Array.isArray(a) === Array.isArray(b) && (a as { length?: unknown }).length === (b as { length?: unknown }).length
    && keys.every((k) => Object.hasOwn(b, k) && same((a as Record<string, unknown>)[k], (b as Record<string, unknown>)[k]))
}

function assert(v: unknown, message?: unknown): void {
  if (!v) fail(message ?? `${show(v)} is not true`)
}

function expected(err: unknown, check: Check): void {
  if (check instanceof RegExp) assert(check.test(String(err)), `${String(err)} does not match ${check}`)
  else if (check && Error.prototype.isPrototypeOf.call(Error.prototype, check.prototype ?? {})) assert(err instanceof (check as never), `${String(err)} is of another class`)
  else if (check && check(err as never) !== true) fail(`another error than expected: ${String(err)}`)
}

export default Object.assign(assert, {
  fail,
  equal(a: unknown, b: unknown, message?: unknown): void {
    if (!Object.is(a, b)) fail(message ?? `${show(a)} is not ${show(b)}`)
  },
  notEqual(a: unknown, b: unknown, message?: unknown): void {
    if (Object.is(a, b)) fail(message ?? `both are ${show(a)}`)
  },
  deepEqual(a: unknown, b: unknown, message?: unknown): void {
    if (!same(a, b)) fail(message ?? `${show(a)} is not ${show(b)}`)
  },
  notDeepEqual(a: unknown, b: unknown, message?: unknown): void {
    if (same(a, b)) fail(message ?? `both are ${show(a)}`)
  },
  match(s: string, re: RegExp, message?: unknown): void {
    if (!re.test(s)) fail(message ?? `${show(s)} does not match ${re}`)
  },
  doesNotMatch(s: string, re: RegExp, message?: unknown): void {
    if (re.test(s)) fail(message ?? `${show(s)} matches ${re}`)
  },
  throws(f: () => unknown, check?: Check): void {
    try {
      f()
    } catch (err) {
      return expected(err, check)
    }
    fail('nothing was thrown')
  },
  async rejects(p: PromiseLike<unknown> | (() => PromiseLike<unknown>), check?: Check): Promise<void> {
    try {
      await (typeof p === 'function' ? p() : p)
    } catch (err) {
      return expected(err, check)
    }
    fail('nothing was rejected')
  },
})
