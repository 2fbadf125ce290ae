#!/usr/bin/env bash
# Runs one fuzz target with libFuzzer, guided by coverage, on the stable toolchain.
#
#   fuzz/run.sh decode 600          topics and payloads through all shipped profiles and the Sparkplug codec, 10 minutes
#   fuzz/run.sh profile 600         texts of profile files; a payload through each that compiles
#   fuzz/run.sh decode 0 FILE       one input again, for example a crash of fuzz/artifacts
#
# `cargo fuzz run decode` works too where cargo-fuzz and a nightly toolchain are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

target=${1:?"usage: fuzz/run.sh decode|profile SECONDS [FILE]"}
seconds=${2:?"usage: fuzz/run.sh decode|profile SECONDS [FILE]"}
triple=$(rustc -vV | sed -n 's/^host: //p')

# What cargo-fuzz passes, less the sanitizers that need a nightly compiler: our own code has no unsafe block.
flags="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module"
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
    flags="$flags -Cllvm-args=-sanitizer-coverage-$flag"
done
# With --target the flags are not for build scripts.
RUSTFLAGS="$flags" cargo build --release --locked --target "$triple" --bin "$target"

if [ $# -gt 2 ]; then
    exec "target/$triple/release/$target" "$3"
fi
mkdir -p "corpus/$target" "artifacts/$target"
exec "target/$triple/release/$target" "corpus/$target" "seeds/$target" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
    -artifact_prefix="artifacts/$target/"
