#!/usr/bin/env bash
# The real binary at full rate for half an hour: memory and store must not grow. Half an hour and a few gigabytes written.
#
#   tests/soak.sh              30 minutes
#   tests/soak.sh 5            5 minutes
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/install.sh
exec cargo bench --locked --bench soak -- --minutes "${1:-30}" </dev/null
