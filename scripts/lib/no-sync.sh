# shellcheck shell=bash
# Sourced. A filter of system calls under which a store's syncing to disk succeeds and does nothing, so that its answers do not wait for this machine's disk: stores
# of tests have to outlive SIGKILL, for which the system's page cache is enough, and no machine. It stands in the place of the engine's own filter, which takes
# calls away that these stores never make.

no_sync=$root/scripts/lib/no-sync.json
# Where it is noted that the engine takes it.
no_sync_taken=$cache/no-sync

# no_sync_try <image with the command sync>: not every engine takes such a filter, and with an old one `sync` fails.
no_sync_try() {
    rm -f "$no_sync_taken"
    if docker run --rm --security-opt "seccomp=$no_sync" --entrypoint sync "$1" /etc/passwd >"$logs/no-sync.log" 2>&1; then
        touch "$no_sync_taken"
    else
        say "this engine does not take scripts/lib/no-sync.json (see $logs/no-sync.log): stores sync to disk, and answer late where it is busy"
    fi
}
