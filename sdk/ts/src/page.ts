/** Lists: one page by `await`, everything by `for await`. */

/** What a list operation returns. Awaited it is the first page; iterated it is every entry of every page. */
export interface Pages<Out, Entry> extends PromiseLike<Out>, AsyncIterable<Entry> {
  /** Page by page. */
  pages(): AsyncIterable<Out>
}

export function pages<Out, Entry>(field: string, first: string | undefined, load: (cursor: string | undefined) => Promise<Out>): Pages<Out, Entry> {
  async function* each(): AsyncGenerator<Out> {
    let cursor = first
    for (;;) {
      const page = await load(cursor)
      yield page
      const next = (page as { cursor?: string }).cursor
      if (!next || next === cursor) return // a node that answers the same cursor again would hold us for ever
      cursor = next
    }
  }
  return {
    then: (ok, bad) => load(first).then(ok, bad),
    pages: each,
    async *[Symbol.asyncIterator]() {
      for await (const page of each()) yield* (page as Record<string, Entry[] | null>)[field] ?? []
    },
  }
}
