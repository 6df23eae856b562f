#!/usr/bin/env bash
# All tests of the workspace, built before, in jobs: three at a time, as most of them wait for a store. Beside them, in the time that they leave, what only
# computes: some tests, and scripts/checks.sh. Everything runs, also after something has failed; what failed is shown at the end.
#
#   scripts/backends.sh all scripts/tests.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"

# In virtual time or none: however slow the machine is, they say the same.
computing=(proof mutants)
# What runs beside the jobs.
beside=(computing checks)
# Which job begins when another one ends. The suites do most of the work: as a rule two of them run together, and none beside its store's other tests.
jobs=(common suite-consul suite-zookeeper etcd consul suite-etcd zookeeper rolling_restart)
at_once=3
mkdir -p "$logs"
rm -f "$logs"/tests-*

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

# Cargo takes the names of test targets, but cannot leave one out.
declare -A targets=([common]=" --lib --bins --examples")
for file in */tests/*.rs */tests/*/main.rs examples/*/tests/*.rs; do
    name=$(basename "$file" .rs)
    [ "$name" != main ] || name=$(basename "$(dirname "$file")")
    job=$(job_of "$name")
    case " ${targets[$job]-} " in *" --test=$name "*) ;; *) targets[$job]+=" --test=$name" ;; esac
done

is_beside() { [[ " ${beside[*]} " == *" $1 "* ]]; }

# run_job <job>
run_job() {
    ! is_beside "$1" || renice -n 19 -p "$BASHPID" >/dev/null
    case $1 in
    checks)
        scripts/checks.sh
        return
        ;;
    suite-*) export REGISTRY_CONFORMANCE_REPORT=$logs/conformance-${1#suite-}.json ;;
    esac
    # shellcheck disable=SC2086 # a list of arguments
    TURN=$logs/tests-$1.turn cargo test --locked --workspace --all-features --no-fail-fast \
        --config "target.'cfg(all())'.runner = ['$root/scripts/lib/turn.sh']" ${targets[$1]}
}

# start <job>: in the background, where Ctrl-C is not heard, in a process group of its own. Its exit code is in a file when it has ended.
declare -A began=() groups=()
start() {
    set -m
    {
        local code=0
        run_job "$1" || code=$?
        echo "$code" >"$logs/tests-$1.code"
    } </dev/null >"$logs/tests-$1.log" 2>&1 &
    set +m
    groups[$1]=$!
}

# has_ended <job>: whether it wrote its exit code, or was killed and could not.
has_ended() { [ -s "$logs/tests-$1.code" ] || ! kill -0 "${groups[$1]}" 2>/dev/null; }

# ready <job>: starts it, and returns when its tests wait for their turn. While cargo looks whether they are built, it lets no other cargo do anything, and it
# would wait in turn for all that scripts/checks.sh builds.
ready() {
    start "$1"
    until [ -e "$logs/tests-$1.turn.waits" ] || has_ended "$1"; do sleep 0.1; done
}

turn_of() {
    began[$1]=$SECONDS
    touch "$logs/tests-$1.turn"
}

# What was begun ends with this script, however that ends.
end_jobs() {
    local job
    for job in "${!groups[@]}"; do kill -- "-${groups[$job]}" 2>/dev/null || true; done
}
trap end_jobs EXIT
trap 'die "interrupted"' INT TERM HUP

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
            unset "began[$job]" "groups[$job]"
        done
    done
}

# How many have had their turn and not ended, but for those beside.
running() {
    local job count=0
    for job in "${!began[@]}"; do is_beside "$job" || count=$((count + 1)); done
    echo "$count"
}

# The first begin when they are ready, the others when one of them has ended and all are ready.
for job in computing "${jobs[@]}"; do
    ready "$job"
    if is_beside "$job" || [ "$(running)" -lt "$at_once" ]; then turn_of "$job"; fi
done
start checks
turn_of checks
for job in "${jobs[@]}"; do
    [ ! -e "$logs/tests-$job.turn" ] || continue
    while [ "$(running)" -ge "$at_once" ]; do finish; done
    turn_of "$job"
done
while [ ${#began[@]} -gt 0 ]; do finish; done

# Once more and in short, at the end, where it is found.
for job in ${failed[@]+"${failed[@]}"}; do
    say "$job: what failed"
    grep -A 12 -e '^---- .* ----$' -e '^error' "$logs/tests-$job.log" | grep -v DEBUG | cut -c -300 || true
done
[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
