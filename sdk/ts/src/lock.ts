/** One at a time: across all tabs by Web Locks in browsers, in this program elsewhere. */

const tails = new Map<string, Promise<unknown>>()

interface Locks {
  request<T>(name: string, options: { signal?: AbortSignal }, f: () => Promise<T>): Promise<T>
}

export async function exclusively<T>(name: string, f: () => Promise<T>, locks: Locks | undefined = browserLocks()): Promise<T> {
  if (locks) return locks.request(`icn:${name}`, {}, f)
  const before = tails.get(name) ?? Promise.resolve()
  const mine = before.then(f, f)
  const tail = mine.catch(() => undefined)
  tails.set(name, tail)
  try {
    return await mine
  } finally {
    if (tails.get(name) === tail) tails.delete(name)
  }
}

function browserLocks(): Locks | undefined {
  return (globalThis.navigator as { locks?: Locks } | undefined)?.locks
}
