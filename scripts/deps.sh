#!/usr/bin/env bash
# Checks for what `make test` needs beyond Go, and installs it from Debian packages when run as root.
#   age  the keystore tests read our files with the stock tool, and the reverse
#   curl, jq, openssl  docs/guides/curl.md and login.md, which the tests run as they stand
#   gcc  the race detector links with it, and Spin's checkers are compiled with it
#   postgresql  the server that the tests of its store run; it need not run otherwise
#   node 20 and npm  the TypeScript client (sdk/ts), and the linter of docs/openapi.json; npm gets the rest
#   chromium  the TypeScript client and the page of documentation are tried in a real browser
#   spin searches the model of finality (docs/model)
#   hledger, beancount (bean-check), ofx (ofxdump) and poppler-utils (pdftotext) read what the ledger exports
set -euo pipefail

if ! command -v go >/dev/null; then
	echo "deps: Go is missing: install Go 1.26 or newer" >&2
	exit 1
fi

packages=()
command -v age >/dev/null || packages+=(age)
command -v curl >/dev/null || packages+=(curl)
command -v jq >/dev/null || packages+=(jq)
command -v openssl >/dev/null || packages+=(openssl)
command -v "${CC:-gcc}" >/dev/null || packages+=(gcc libc6-dev)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || packages+=(postgresql)
command -v spin >/dev/null || packages+=(spin)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
[ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || command -v google-chrome >/dev/null || packages+=(chromium)
command -v hledger >/dev/null || packages+=(hledger)
command -v bean-check >/dev/null || packages+=(beancount)
command -v ofxdump >/dev/null || packages+=(ofx)
command -v pdftotext >/dev/null || packages+=(poppler-utils)

if [ ${#packages[@]} -gt 0 ]; then
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		echo "deps: missing: ${packages[*]}. On Debian or Ubuntu: sudo apt-get install ${packages[*]}" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

if ! node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)'; then
	echo "deps: Node $(node --version) is too old for the TypeScript client: install Node 20 or newer" >&2
	exit 1
fi
