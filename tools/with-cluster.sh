#!/usr/bin/env bash
# Runs a command with KUBECONFIG and the programs that go with it: those of the caller, else of the cluster that "make cluster" made.
set -euo pipefail
if [ -z "${KUBECONFIG:-}" ]; then
  bed="$(dirname "$0")/../testbed/cluster.ts"
  KUBECONFIG=$(node "$bed" kubeconfig)
  export KUBECONFIG
  PATH="$(cat "$(dirname "$KUBECONFIG")/path"):$PATH"
fi
for program in kubectl helm; do
  command -v "$program" >/dev/null || { echo "with-cluster: there is no $program in PATH" >&2; exit 2; }
done
exec "$@"
