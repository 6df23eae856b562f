#!/usr/bin/env bash
# All tests of the workspace, built before, in jobs: three at a time, as most of them wait for a store, and beside them what only computes, in the time that
# they leave; at last scripts/checks.sh. Everything runs, also after something has failed; what failed is shown at the end.
#
#   scripts/backends.sh all scripts/tests.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"

# In virtual time or none: however slow the machine is, they say the same.
computing=(proof mutants)
# What runs beside the jobs, in the time that they leave.
beside=(computing checks)
# Which job begins when another one ends. The suites do most of the work: two of them run together, and none beside its store's other tests. What begins last
# lasts long, so that the checks have time beside it.
jobs=(common suite-consul zookeeper etcd rolling_restart suite-zookeeper suite-etcd consul)
at_once=3
mkdir -p "$logs"
rm -f "$logs"/tests-*.log "$logs"/tests-*.code

# job_of <test target>: a store's suite, what else is about that store by its name, or what is named above; `common` for the rest.
job_of() {
    local store
    case " ${computing[*]} " in *" $1 "*) echo computing && return ;; esac
    for store in etcd zookeeper consul; do
        case $1 in
        "conformance_$store") echo "suite-$store" && return ;;
        "${store}"_* | *_"$store") echo "$store" && return ;;
        esac
    done
    case " ${jobs[*]} " in *" $1 "*) echo "$1" ;; *) echo common ;; esac
}

# Cargo takes the names of targets, but cannot leave one out. Programs with unit tests of their own are named one by one: `--bins` would build those without,
# too (integration-tests/tests/tidy.rs sees that none is forgotten).
declare -A targets=([common]=" --lib --bin=registry-check")
for file in */tests/*.rs */tests/*/main.rs examples/*/tests/*.rs; do
    name=$(basename "$file" .rs)
    [ "$name" != main ] || name=$(basename "$(dirname "$file")")
    job=$(job_of "$name")
    case " ${targets[$job]-} " in *" --test=$name "*) ;; *) targets[$job]+=" --test=$name" ;; esac
done

is_beside() { [[ " ${beside[*]} " == *" $1 "* ]]; }

# run <job> <arguments of cargo test…>: adds what they print to the job's log.
run() {
    local job=$1
    shift
    CARGO_TERM_COLOR=never cargo test --locked --workspace --all-features --no-fail-fast "$@" >>"$logs/tests-$job.log" 2>&1
}

# shellcheck disable=SC2086 # lists of arguments
run_job() {
    ! is_beside "$1" || renice -n 19 -p "$BASHPID" >/dev/null
    case $1 in
    checks) scripts/checks.sh >"$logs/tests-checks.log" 2>&1 ;;
    computing)
        local code=0
        run computing ${targets[computing]} || code=$?
        run computing --doc || code=$?
        return "$code"
        ;;
    suite-*) REGISTRY_CONFORMANCE_REPORT=$logs/conformance-${1#suite-}.json run "$1" ${targets[$1]} ;;
    *) run "$1" ${targets[$1]} ;;
    esac
}

# start <job>: in the background, where Ctrl-C is not heard, in a process group of its own. Its exit code is in a file when it has ended.
declare -A began=() groups=()
start() {
    set -m
    {
        local code=0
        run_job "$1" || code=$?
        echo "$code" >"$logs/tests-$1.code"
    } </dev/null &
    set +m
    groups[$1]=$!
    began[$1]=$SECONDS
}

# What was begun ends with this script, however that ends.
end_jobs() {
    local job
    for job in "${!began[@]}"; do kill -- "-${groups[$job]}" 2>/dev/null || true; done
}
trap end_jobs EXIT
trap 'die "interrupted"' INT TERM HUP

# has_ended <job>: whether it wrote its exit code, or was killed and could not.
has_ended() { [ -s "$logs/tests-$1.code" ] || ! kill -0 "${groups[$1]}" 2>/dev/null; }

# finish: waits for a job to end. One line for each that has; all that it printed for one that failed, but the names of what passed.
failed=()
finish() {
    local job ended=
    while [ -z "$ended" ]; do
        sleep 0.2
        for job in "${!began[@]}"; do
            has_ended "$job" || continue
            ended=1
            if [ "$(cat "$logs/tests-$job.code" 2>/dev/null)" = 0 ]; then
                say "$job: passed in $((SECONDS - began[$job])) s"
            else
                say "$job: FAILED, in $((SECONDS - began[$job])) s"
                failed+=("$job")
                grep -v '^test .* ok$' "$logs/tests-$job.log" || true
            fi
            unset "began[$job]"
        done
    done
}

# How many run, but for those beside.
running() {
    local job count=0
    for job in "${!began[@]}"; do is_beside "$job" || count=$((count + 1)); done
    echo "$count"
}

start computing
for job in "${jobs[@]}"; do
    while [ "$(running)" -ge "$at_once" ]; do finish; done
    start "$job"
done
# Cargo does one thing at a time in a folder: first it has to find for each job that its tests are built.
for job in "${!began[@]}"; do
    until grep -qs '^ *Running' "$logs/tests-$job.log" || has_ended "$job"; do sleep 0.2; done
done
start checks
while [ ${#began[@]} -gt 0 ]; do finish; done

# Once more and in short, at the end, where it is found.
for job in ${failed[@]+"${failed[@]}"}; do
    say "$job: what failed"
    grep -A 12 -e '^---- .* ----$' -e '^error' "$logs/tests-$job.log" | grep -v DEBUG | cut -c -300 ||
        tail -n 12 "$logs/tests-$job.log"
done
[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
