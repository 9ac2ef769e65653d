#!/usr/bin/env bash
# Every test that needs one machine: unit tests first, then those that start real parts.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(find src tools bench images testbed test -name '*.test.ts' -not -path '*/kubernetes/*' -not -path '*/chart/*' | sort)
exec node --test --test-reporter=spec --test-timeout=600000 --test-concurrency=1 "${files[@]}"
