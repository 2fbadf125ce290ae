#!/usr/bin/env bash
# The fault suite at full scale, and its table in docs/reliability.md. About a quarter of an hour on two cores.
#
#   tests/faults.sh                   all cases, then the table
#   tests/faults.sh broker::          only these, and no table
#   tests/faults.sh --table           the table from the results that there are
#
# Each variable says how often a fault is injected, or for how many seconds; `cargo test --test faults` alone takes smaller numbers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export NINEWATCH_KILLS="${NINEWATCH_KILLS:-200}"
export NINEWATCH_SLOW_KILLS="${NINEWATCH_SLOW_KILLS:-25}"
export NINEWATCH_MOMENTS="${NINEWATCH_MOMENTS:-25}"
export NINEWATCH_FAULTS="${NINEWATCH_FAULTS:-10}"
export NINEWATCH_FAILURES="${NINEWATCH_FAILURES:-200}"
export NINEWATCH_BURSTS="${NINEWATCH_BURSTS:-10}"
export NINEWATCH_LOAD="${NINEWATCH_LOAD:-16000}"
export NINEWATCH_RELOADS="${NINEWATCH_RELOADS:-200}"
export NINEWATCH_PG_AWAY_S="${NINEWATCH_PG_AWAY_S:-60}"
export NINEWATCH_COPY_KILLS="${NINEWATCH_COPY_KILLS:-50}"

results="${CARGO_TARGET_DIR:-target}/faults/results.jsonl"
document=docs/reliability.md

if [ "${1-}" != --table ]; then
    tests/install.sh
    PATH="$PATH:/usr/sbin:/sbin"
    rm -f "$results"
    cargo test --locked --test faults -- --nocapture --test-threads=2 "$@" </dev/null
    [ $# -eq 0 ] || exit 0
fi

# One result a line, its keys in the order of the alphabet, no nesting: awk is enough.
table() {
    echo '| fault | times | messages | lost | doubled | recovery p50 | longest |'
    echo '|---|--:|--:|--:|--:|--:|--:|'
    sort "$results" | awk '
        function value(key,   rest) {
            if (!match($0, "\"" key "\":")) { print "no " key " in: " $0 > "/dev/stderr"; exit 1 }
            rest = substr($0, RSTART + RLENGTH)
            if (substr(rest, 1, 1) == "\"") { rest = substr(rest, 2); sub(/".*/, "", rest) }
            else sub(/[,}].*/, "", rest)
            return rest
        }
        function seconds(key,   ms) { ms = value(key); return ms == "null" ? "–" : sprintf("%.2f s", ms / 1000) }
        {
            lost = value("lost")
            if (value("lost_by_broker") > 0) lost = lost " (broker: " value("lost_by_broker") ")"
            row = "| " value("fault") " | " value("injected") " | " value("published") " | " lost
            print row " | " value("duplicated") " | " seconds("recovery_p50_ms") " | " seconds("recovery_max_ms") " |"
        }' | sort
}

table >"$results.table"
awk -v table="$results.table" '
    /<!-- faults: begin -->/ { print; while ((getline line < table) > 0) print line; inside = 1; next }
    /<!-- faults: end -->/ { inside = 0 }
    !inside
' "$document" >"$results.document"
cp "$results.document" "$document"
echo "the table is in $document"
