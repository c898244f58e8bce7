/** Files of the tree, as the tests' own origin serves them. */
export function readFileSync(url: URL): string {
  const ask = new XMLHttpRequest()
  ask.open('GET', url, false) // tests read when they are loaded, before there is anything to keep waiting
  ask.send()
  if (ask.status !== 200) throw new Error(`${url.pathname}: ${ask.status}`)
  return ask.responseText
}
