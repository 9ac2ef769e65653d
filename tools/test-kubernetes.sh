#!/usr/bin/env bash
# Every test that needs a cluster: that of KUBECONFIG, else the one that "make cluster" made. A file as argument runs that file alone.
set -euo pipefail
cd "$(dirname "$0")/.."
files=("$@")
[ $# -gt 0 ] || mapfile -t files < <(find test/chart test/kubernetes -name '*.test.ts' | sort)
exec tools/with-cluster.sh \
  node --test --test-reporter=spec --test-timeout=900000 --test-concurrency=1 "${files[@]}"
