# shellcheck shell=bash
# Sourced. Compose: the v2 plugin, else v1, else v2 fetched into .cache/tools.

compose_command=()

# Finds compose without saying anything. Version 1 must know profiles.
compose_find() {
    if docker compose version >/dev/null 2>&1; then
        compose_command=(docker compose)
    elif have docker-compose && [[ "$(docker-compose --help 2>&1)" == *--profile* ]]; then
        compose_command=(docker-compose)
    elif [ -x "$tools/docker-compose" ]; then
        compose_command=("$tools/docker-compose")
    else
        return 1
    fi
}

compose() {
    if ! compose_find; then
        say "fetching compose from Debian $debian_suite into .cache/tools"
        local package
        package=$(debian_packages docker-compose)
        dpkg-deb --fsys-tarfile "$package" |
            tar -x -C "$tools" --strip-components=5 ./usr/libexec/docker/cli-plugins/docker-compose
        compose_find || die "no compose: install the docker compose plugin and run me again"
    fi
    say "compose: ${compose_command[*]} $("${compose_command[@]}" version --short)"
}

# in_compose <arguments…>: compose on the project's file, with the secured services.
in_compose() {
    [ ${#compose_command[@]} -gt 0 ] || compose_find || die "no compose: run scripts/backends.sh compose first"
    local files=(--file "$root/docker-compose.yml")
    [ ! -e "$no_sync_taken" ] || files+=(--file "$root/scripts/lib/no-sync.yml")
    NO_SYNC=$no_sync COMPOSE_PROFILES=secured "${compose_command[@]}" --project-directory "$root" "${files[@]}" "$@"
}

# What is brought up: members of clusters are for trying things by hand. Compose v1 lists services of every profile.
services() { in_compose config --services | grep -v -- '-[0-9]$'; }

# container_of <service>: the id of its container, if there is one. By label, which takes a tenth of what asking compose does.
container_of() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
        --filter "label=com.docker.compose.service=$1" | head -n 1
}
