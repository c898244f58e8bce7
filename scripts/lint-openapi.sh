#!/usr/bin/env bash
# Holds docs/openapi.json against Spectral's rules for OpenAPI. The linter is pinned in tools/spectral and installed there when that has changed.
set -euo pipefail
cd "$(dirname "$0")/../tools/spectral"

if ! command -v npm >/dev/null; then
	echo "lint-openapi: npm is missing. On Debian or Ubuntu: sudo apt-get install npm" >&2
	exit 1
fi
if [ ! -e node_modules/.installed ] || [ package-lock.json -nt node_modules/.installed ]; then
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch node_modules/.installed
fi
exec node_modules/.bin/spectral lint --quiet --fail-severity=warn --ruleset spectral.yaml ../../docs/openapi.json
