# shellcheck shell=bash
# Sourced by the scripts beside this folder: where things are, how they speak, how they install.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$root/.cache
tools=$cache/tools
logs=$cache/logs
mkdir -p "$tools" "$logs"

# A command substitution that fails ends the script, too.
shopt -s inherit_errexit

# say <text…>: what is being done, with the seconds since the script began.
say() { printf '[%3d s] %s\n' "$SECONDS" "$*"; }

# die <text…>: why it cannot go on, and what to do about it.
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# shown <log> <command…>: runs it with its output in .cache/logs/<log>.log, whose end is shown when it fails.
shown() {
    local log=$logs/$1.log code
    shift
    # Not `"$@" || …`: that would switch `set -e` off inside of it.
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    code=$?
    set -e
    [ "$code" = 0 ] || tail -n 20 "$log" >&2
    return "$code"
}

# apt_install <why> <package…>: installs Debian packages system-wide, where this is Debian and we are root.
apt_install() {
    local why=$1
    shift
    have apt-get || die "$why: install $* (this machine has no apt-get) and run me again"
    [ "$(id -u)" = 0 ] || die "$why: as root, run: apt-get install --no-install-recommends $*"
    say "installing with apt-get: $*"
    shown apt-update apt-get -o DPkg::Lock::Timeout=120 update -q
    DEBIAN_FRONTEND=noninteractive shown apt-install \
        apt-get -o DPkg::Lock::Timeout=120 install -y -q --no-install-recommends "$@"
}
