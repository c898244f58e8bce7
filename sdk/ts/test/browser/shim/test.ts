/** What of node:test the tests use, for browsers: tests run one after the other, when `run` is called. */
export interface Outcome {
  name: string
  error?: string
  skipped?: string
}

type Body = (t: TestContext) => unknown

export class TestContext {
  readonly #after: (() => unknown)[] = []
  skipped: string | undefined

  constructor(readonly name: string, readonly outcomes: Outcome[]) {}

  after(f: () => unknown): void {
    this.#after.push(f)
  }

  skip(why = 'skipped'): void {
    this.skipped = why
  }

  diagnostic(): void {}

  async test(name: string, body: Body): Promise<void> {
    await perform(`${this.name} > ${name}`, body, this.outcomes)
  }

  async end(): Promise<void> {
    for (const f of this.#after) await f()
  }
}

async function perform(name: string, body: Body, outcomes: Outcome[]): Promise<void> {
  const t = new TestContext(name, outcomes)
  const outcome: Outcome = { name }
  try {
    await body(t)
    if (t.skipped !== undefined) outcome.skipped = t.skipped
  } catch (err) {
    outcome.error = err instanceof Error ? `${err.name}: ${err.message}\n${err.stack ?? ''}` : String(err)
  }
  await t.end().catch((err: unknown) => (outcome.error ??= `after: ${String(err)}`))
  outcomes.push(outcome)
}

const registered: [string, Body][] = []

export function test(name: string, options: { skip?: boolean | string } | Body, body?: Body): void {
  if (typeof options === 'function') registered.push([name, options])
  else registered.push([name, options.skip ? (t) => t.skip(String(options.skip)) : body!])
}

export default test

/** Runs what was registered. A failure of one does not keep the others from running. */
export async function run(): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const [name, body] of registered) await perform(name, body, outcomes)
  return outcomes
}
