#!/usr/bin/env bash
# All tests, with real servers: installs what is missing, builds once (dev profile), runs everything.
#
#   tests/run.sh                      everything
#   tests/run.sh --test faults        arguments go to `cargo test`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/install.sh
PATH="$PATH:/usr/sbin:/sbin"

# One profile for all: whatever is built for one test is built for every other.
if [ $# -gt 0 ]; then
    exec cargo test --locked --workspace "$@" </dev/null
fi

status=0
# Without benches: here `pipeline` would run its whole measurement, unoptimised. clippy compiles them.
cargo test --locked --workspace --lib --bins --tests --no-fail-fast </dev/null || status=$?
# Examples in the documentation are no target: they need a run of their own.
cargo test --locked --workspace --doc --no-fail-fast </dev/null || status=$?
if [ "$status" -ne 0 ]; then
    echo "tests/run.sh: FAILED; the failing tests are named above" >&2
fi
exit "$status"
