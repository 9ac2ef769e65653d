#!/usr/bin/env bash
# Every test that needs one machine.
set -euo pipefail
cd "$(dirname "$0")/.."
exec node tools/test.ts
