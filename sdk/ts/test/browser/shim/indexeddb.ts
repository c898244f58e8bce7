/** The browser's own IndexedDB, by the name of the package that stands in for it in Node. Each factory has databases of its own. */
let made = 0

export class IDBFactory {
  readonly #prefix = `factory-${++made}-`

  open(name: string, version?: number): IDBOpenDBRequest {
    return indexedDB.open(this.#prefix + name, version)
  }

  deleteDatabase(name: string): IDBOpenDBRequest {
    return indexedDB.deleteDatabase(this.#prefix + name)
  }
}
