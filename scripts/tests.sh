#!/usr/bin/env bash
# All tests of the workspace, built before. First those that use the processor or want it for themselves, one after the other: the suite on etcd too, whose
# TTL of 2 s leaves no room for a start of many servers. Then, side by side, the suites on the other stores, which mostly wait.
#
#   scripts/backends.sh all scripts/tests.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"

# What runs side by side: these test targets, by name.
suites=(conformance_consul conformance_zookeeper)

run() { cargo test --locked --workspace --all-features "$@"; }

# Every other test target: cargo takes names, but cannot leave one out.
others=()
for file in */tests/*.rs */tests/*/main.rs examples/*/tests/*.rs; do
    name=$(basename "$file" .rs)
    [ "$name" != main ] || name=$(basename "$(dirname "$file")")
    case " ${suites[*]} ${others[*]-} " in *" $name "*) ;; *) others+=("$name") ;; esac
done
run --lib --bins --examples "${others[@]/#/--test=}"
run --doc

mkdir -p "$logs"
declare -A running
for suite in "${suites[@]}"; do
    run --test "$suite" >"$logs/$suite.log" 2>&1 &
    running[$suite]=$!
done
failed=()
for suite in "${suites[@]}"; do
    if wait "${running[$suite]}"; then
        say "$suite: $(grep '^test result' "$logs/$suite.log")"
    else
        failed+=("$suite")
    fi
done
for suite in ${failed[@]+"${failed[@]}"}; do
    say "$suite failed:"
    cat "$logs/$suite.log"
done
[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
