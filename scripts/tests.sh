#!/usr/bin/env bash
# All tests of the workspace, built before: those of no store or of several, then those of each store, two lanes side by side, as these mostly wait; and beside
# all of them what only computes, in the time that they leave. Every test runs, also after one has failed; what failed is shown at the end.
#
#   scripts/backends.sh all scripts/tests.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"

stores=(etcd zookeeper consul)
# Of no store, and mostly waiting, too.
waiting=(rolling_restart)
# In virtual time or none: however slow the machine is, they say the same.
computing=(proof mutants)
# What a lane runs before its conformance suite: the suites ask most of the machine in the same cases, and must not come to these together.
declare -A early=([consul]="consul_faults")
mkdir -p "$logs"
rm -f "$logs"/tests-*.log

# lane_of <test target>: the store that it is about, by its name; otherwise what it does most, and `common` for the rest.
lane_of() {
    local store
    for store in "${stores[@]}"; do
        case $1 in "${store}"_* | *_"$store") echo "$store" && return ;; esac
    done
    case " ${waiting[*]} " in *" $1 "*) echo waiting && return ;; esac
    case " ${computing[*]} " in *" $1 "*) echo computing ;; *) echo common ;; esac
}

# Cargo takes the names of test targets, but cannot leave one out.
declare -A lanes=()
for file in */tests/*.rs */tests/*/main.rs examples/*/tests/*.rs; do
    name=$(basename "$file" .rs)
    [ "$name" != main ] || name=$(basename "$(dirname "$file")")
    lane=$(lane_of "$name")
    case " ${lanes[$lane]-} " in *" --test=$name "*) ;; *) lanes[$lane]+=" --test=$name" ;; esac
done

# run_lane <lane> <arguments of cargo test…>: adds what they print to the lane's log.
run_lane() {
    local lane=$1
    shift
    cargo test --locked --workspace --all-features --no-fail-fast "$@" >>"$logs/tests-$lane.log" 2>&1
}

# run_store <lane>: what comes early, the conformance suite with its report, and the others.
run_store() {
    local store=$1 code=0 test before=() after=()
    for test in ${lanes[$store]}; do
        case " ${early[$store]-} " in
        *" ${test#--test=} "*) before+=("$test") ;;
        *) [ "$test" = "--test=conformance_$store" ] || after+=("$test") ;;
        esac
    done
    [ ${#before[@]} = 0 ] || run_lane "$store" "${before[@]}" || code=$?
    case " ${lanes[$store]} " in
    *" --test=conformance_$store "*)
        REGISTRY_CONFORMANCE_REPORT=$logs/conformance-$store.json run_lane "$store" "--test=conformance_$store" || code=$?
        ;;
    esac
    [ ${#after[@]} = 0 ] || run_lane "$store" "${after[@]}" || code=$?
    return "$code"
}

# finish <lane> <exit code> <started>: one line for a lane that passed; all that it printed for one that failed, but the names of what passed.
failed=()
finish() {
    local took=$((SECONDS - $3))
    if [ "$2" = 0 ]; then
        say "$1: passed in $took s"
    else
        say "$1: FAILED, in $took s"
        failed+=("$1")
        grep -v '^test .* ok$' "$logs/tests-$1.log"
    fi
}

# side_by_side <lane…>
side_by_side() {
    local began=$SECONDS lane code
    local -A running=()
    for lane in "$@"; do
        run_store "$lane" &
        running[$lane]=$!
    done
    for lane in "$@"; do
        code=0
        wait "${running[$lane]}" || code=$?
        finish "$lane" $code "$began"
    done
}

# compute: in the time that others leave.
compute() {
    local code=0
    renice -n 19 -p "$BASHPID" >/dev/null
    # shellcheck disable=SC2086 # a list of arguments
    run_lane computing ${lanes[computing]} || code=$?
    run_lane computing --doc || code=$?
    return "$code"
}

began=$SECONDS
compute &
computes=$!

code=0
# shellcheck disable=SC2086 # a list of arguments
run_lane common --lib --bins --examples ${lanes[common]} || code=$?
finish common $code "$began"

# Two suites at once leave their cases the time that these need; three do not on two cores.
side_by_side etcd waiting
side_by_side zookeeper consul

code=0
wait "$computes" || code=$?
finish computing $code "$began"

# Once more and in short, at the end, where it is found.
for lane in ${failed[@]+"${failed[@]}"}; do
    say "$lane: what failed"
    grep -A 12 -e '^---- .* ----$' -e '^error: could not compile' "$logs/tests-$lane.log" | grep -v DEBUG | cut -c -300 || true
done
[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
