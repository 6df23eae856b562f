# shellcheck shell=bash
# Sourced. The container engine: what answers is used; otherwise Docker is installed and started, as root on Debian.

engine_answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# engine_within <tenths of a second>: whether the engine answers within that time.
engine_within() {
    local tenth
    for ((tenth = 0; tenth < $1; tenth++)); do
        engine_answers && return
        sleep 0.1
    done
    return 1
}

engine() {
    if have docker && engine_answers; then
        say "engine: $(docker version --format '{{.Server.Version}}') answers"
        return
    fi
    [ -z "${DOCKER_HOST:-}" ] || die "DOCKER_HOST is set, but no engine answers there"
    [ "$(id -u)" = 0 ] || die "no container engine answers to this user: start Docker, join its group, or run me as root"
    if ! have dockerd || ! have docker || ! have iptables; then
        apt_install "the stores run in containers" docker.io iptables ca-certificates
        # Newer suites have the command in a package of its own.
        have docker || apt_install "the stores run in containers" docker-cli
    fi
    # The package may have started it, and a service manager should be the one to.
    if engine_within 20; then
        say "engine: $(docker version --format '{{.Server.Version}}') was started by its package"
    elif [ -d /run/systemd/system ] && shown engine-start systemctl start docker && engine_within 300; then
        say "engine: started by systemd"
    else
        engine_start
    fi
}

# Starts dockerd by hand, for machines without a service manager. It stays when this script ends.
engine_start() {
    local try pid log=$logs/dockerd.log
    for try in 1 2 3; do
        remove_stale_pid /var/run/docker.pid dockerd
        # A dead containerd that is still a zombie passes for alive: dockerd waits 15 s for it and gives up.
        remove_stale_pid /var/run/docker/containerd/containerd.pid containerd
        # Nor may it inherit the lock that `up` holds.
        setsid nohup dockerd >>"$log" 2>&1 </dev/null 8>&- &
        pid=$!
        while kill -0 "$pid" 2>/dev/null; do
            if engine_within 10; then
                say "engine: dockerd started (process $pid, try $try); it goes on running, its log is $log"
                return
            fi
        done
        sleep 2
    done
    tail -n 20 "$log" >&2
    die "dockerd does not start: see $log"
}

# remove_stale_pid <file> <program>: a pid file outlives a program that was killed and blocks the next one while a stranger, or the
# program's own zombie, has that number.
remove_stale_pid() {
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 0
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null; then
        return 0
    fi
    rm -f "$1"
}
