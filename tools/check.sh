#!/usr/bin/env bash
# Formatting, lint, types and unit tests; under a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
prettier --check . | tail -n 20
oxlint --deny-warnings src test tools bench examples testbed
node tools/crds.ts --check
tsc --noEmit -p tsconfig.json
tsc --noEmit -p src/sidecar/tsconfig.json
mapfile -t files < <({ find src tools testbed -name '*.test.ts'; echo test/lua/hot.test.ts; } | sort)
node --test --test-reporter=dot --test-concurrency=4 "${files[@]}"
