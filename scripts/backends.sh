#!/usr/bin/env bash
# The stores that the tests talk to, in containers, from nothing: on a fresh Debian machine as root nothing else is needed.
#
#   scripts/backends.sh all CMD…    brings everything up, runs CMD with the addresses in its environment, takes down what it brought up
#   scripts/backends.sh up          brings everything up and leaves it: engine, compose, images, certificates, containers, users
#   scripts/backends.sh env         prints the addresses, for:  eval "$(scripts/backends.sh env)"
#   scripts/backends.sh down        takes the containers down, with their data
#   scripts/backends.sh status      what is running
#   scripts/backends.sh prepare     installs what `up` needs and gets the images, and starts nothing but the engine
#   scripts/backends.sh engine | compose | images     one step alone
#
# Each step is quick when what it makes is there. What it installs, each time with a line that says so:
#   - docker.io and iptables with apt-get, when no engine answers and this is root on Debian; a dockerd that it starts goes on running;
#   - compose v2 into .cache/tools, when there is neither the plugin nor docker-compose;
#   - the official images; where they cannot be pulled, stand-ins built from Debian packages, under names of their own (local/etcd:…).
#
# Environment:
#   ETCD_IMAGE, ZOOKEEPER_IMAGE, CONSUL_IMAGE    other images
#   ETCD_PORT, ETCD_TLS_PORT, ETCD_AUTH_PORT,    ports on 127.0.0.1; by default those of docker-compose.yml, or the next that are free
#   ZOOKEEPER_PORT,
#   CONSUL_PORT, CONSUL_TLS_PORT, CONSUL_AUTH_PORT
#   PULL_LIMIT                                   seconds that a pull may take (180)
#   COMPOSE_PROJECT_NAME                         prefix of the containers' names; by default derived from this folder's name
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/lib/common.sh"
. "$here/lib/debian.sh"
. "$here/lib/engine.sh"
. "$here/lib/compose.sh"
. "$here/lib/images.sh"
. "$here/lib/no-sync.sh"
. "$here/lib/secured.sh"
. "$here/images/rootfs.sh"
. "$here/images/etcd.sh"
. "$here/images/zookeeper.sh"
. "$here/images/consul.sh"

# Two checkouts on one machine get in each other's way neither by name nor by port.
: "${COMPOSE_PROJECT_NAME:=registry-$(basename "$root" | tr '[:upper:]' '[:lower:]' | tr -cd 'a-z0-9-')}"
export COMPOSE_PROJECT_NAME
ports=$cache/ports.env

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# choose_port <variable> <first choice>: keeps what the caller chose.
choose_port() {
    local port=$2
    [ -z "${!1:-}" ] || return 0
    until port_is_free "$port"; do port=$((port + 10)); done
    export "$1=$port"
}

# The ports and where looking for free ones begins.
first_ports=(
    ETCD_PORT=2379 ETCD_TLS_PORT=2381 ETCD_AUTH_PORT=2382
    ZOOKEEPER_PORT=2181
    CONSUL_PORT=8500 CONSUL_TLS_PORT=8501 CONSUL_AUTH_PORT=8502
)

# Ports are chosen when the containers are made, and kept as long as they stand.
choose_ports() {
    local entry name
    if [ -n "$(container_of etcd)" ] && [ -s "$ports" ]; then load_ports; fi
    for entry in "${first_ports[@]}"; do
        name=${entry%=*}
        choose_port "$name" "${entry#*=}"
        echo "$name=${!name}"
    done >"$ports.new"
    mv "$ports.new" "$ports"
}

load_ports() {
    [ -s "$ports" ] || return 0
    set -a
    . "$ports"
    set +a
}

# state <service>: `running`, `exited` and so on; nothing when there is no container.
state() {
    local container
    container=$(container_of "$1")
    [ -n "$container" ] || return 0
    docker inspect --format '{{.State.Status}}' "$container"
}

# is_healthy <service>: asks as the health check in docker-compose.yml does, and now. That one asks rarely, as each time costs a process.
is_healthy() {
    local container check
    container=$(container_of "$1")
    [ -n "$container" ] || return 1
    mapfile -t check < <(docker inspect --format '{{range .Config.Healthcheck.Test}}{{println .}}{{end}}' "$container")
    case ${check[0]:-} in
    CMD) docker exec "$container" "${check[@]:1:${#check[@]}-2}" >/dev/null 2>&1 ;;
    CMD-SHELL) docker exec "$container" /bin/sh -c "${check[1]}" >/dev/null 2>&1 ;;
    *) die "$1 has no health check" ;;
    esac
}

all_healthy() {
    local service
    for service in $(services); do
        is_healthy "$service" || return 1
    done
}

wait_healthy() {
    local service now deadline=$((SECONDS + 120))
    for service in $(services); do
        until is_healthy "$service"; do
            now=$(state "$service")
            if [ "$SECONDS" -gt "$deadline" ] || [ "$now" != running ]; then
                docker logs --tail 20 "$(container_of "$service")" >&2
                die "$service is ${now:-absent}; the end of its log is above"
            fi
            sleep 0.1
        done
    done
}

# One at a time: `up` and `down` of one checkout.
lock() {
    exec 8>"$cache/backends.lock"
    flock 8
}
unlock() { exec 8>&-; }

prepare() {
    lock
    engine
    compose
    images
    no_sync_try "$(image_of zookeeper)"
    unlock
}

up() {
    prepare
    lock
    bash "$here/certificates.sh" "$secured"
    choose_ports
    export_tokens
    shown up in_compose up -d
    wait_healthy
    shown users-etcd-tls set_up_users etcd-tls
    shown users-etcd-auth set_up_users etcd-auth
    shown tokens-consul-tls set_up_tokens consul-tls
    shown tokens-consul-auth set_up_tokens consul-auth
    say "up and healthy: $(services | tr '\n' ' ')"
    unlock
}

down() {
    lock
    images_select
    load_ports
    shown down in_compose down --volumes --timeout 1 --remove-orphans
    rm -f "$ports"
    say "down"
    unlock
}

status() {
    images_select
    load_ports
    in_compose ps
}

# What the tests are told: addresses, the image to start more servers of, and where certificates and passwords are.
env_lines() {
    compose_find || die "nothing is up: run scripts/backends.sh up first"
    images_select
    load_ports
    cat <<LINES
REGISTRY_TEST_ETCD=http://127.0.0.1:${ETCD_PORT:-2379}
REGISTRY_TEST_ETCD_TLS=https://127.0.0.1:${ETCD_TLS_PORT:-2381}
REGISTRY_TEST_ETCD_AUTH=https://127.0.0.1:${ETCD_AUTH_PORT:-2382}
REGISTRY_TEST_ETCD_IMAGE=$(image_of etcd)
REGISTRY_TEST_ZOOKEEPER=127.0.0.1:${ZOOKEEPER_PORT:-2181}
REGISTRY_TEST_ZOOKEEPER_IMAGE=$(image_of zookeeper)
REGISTRY_TEST_CONSUL=http://127.0.0.1:${CONSUL_PORT:-8500}
REGISTRY_TEST_CONSUL_TLS=https://127.0.0.1:${CONSUL_TLS_PORT:-8501}
REGISTRY_TEST_CONSUL_AUTH=https://127.0.0.1:${CONSUL_AUTH_PORT:-8502}
REGISTRY_TEST_CONSUL_IMAGE=$(image_of consul)
REGISTRY_TEST_SECURED=$secured
REGISTRY_TEST_SECURITY_OPT=$([ ! -e "$no_sync_taken" ] || echo "seccomp=$no_sync")
LINES
}

env() { env_lines | sed "s/=\(.*\)/='\1'/; s/^/export /"; }

all() {
    [ $# -gt 0 ] || die "all needs a command to run"
    local before=
    if have docker && engine_answers && compose_find && all_healthy; then before=1; fi
    [ -n "$before" ] || trap down EXIT
    up
    eval "$(env)"
    "$@"
}

step=${1:-}
case $step in
engine | compose | images | prepare | up | down | status | env | all)
    shift
    "$step" "$@"
    ;;
*)
    sed -n '2,/^set -euo/{s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
