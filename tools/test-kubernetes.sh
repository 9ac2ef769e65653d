#!/usr/bin/env bash
# Every test that needs a cluster: that of KUBECONFIG, else the one that "make cluster" made. A file as argument runs that file alone.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${KUBECONFIG:-}" ]; then
  KUBECONFIG=$(node testbed/cluster.ts kubeconfig)
  export KUBECONFIG
  PATH="$(cat "$(dirname "$KUBECONFIG")/path"):$PATH"
fi
for program in kubectl helm; do
  command -v "$program" >/dev/null || { echo "test-kubernetes: there is no $program in PATH" >&2; exit 2; }
done
files=("$@")
[ $# -gt 0 ] || mapfile -t files < <(find test/chart test/kubernetes -name '*.test.ts' | sort)
exec node --test --test-reporter=spec --test-timeout=900000 --test-concurrency=1 "${files[@]}"
