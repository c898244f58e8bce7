// Removes folders of what was built, so that nothing of a source that is gone stays: `node scripts/clean.mjs dist`.
import { rmSync } from 'node:fs'

for (const name of process.argv.slice(2)) rmSync(new URL(`../${name}`, import.meta.url), { recursive: true, force: true })
