# shellcheck shell=bash
# Sourced. The stores' images: those that are here, else the official ones, else stand-ins made of Debian packages.
# A stand-in has a name of its own (local/…) and the label `stand-in`; it is never tagged as official.

standins=$cache/standins.env
# How long all pulls together may take, in seconds.
: "${PULL_LIMIT:=180}"

# The stores: each is a service of docker-compose.yml, has a variable <STORE>_IMAGE there, and a `build_<store>` under scripts/images.
stores=(etcd zookeeper consul)

# image_variable <store>: the name of the variable with its image.
image_variable() { echo "${1^^}_IMAGE"; }

# Names the stand-ins that are in use, unless the caller names images.
images_select() {
    [ -s "$standins" ] || return 0
    local name image
    while IFS='=' read -r name image; do
        [ -n "${!name:-}" ] || export "$name=$image"
    done <"$standins"
}

# image_of <service>: what compose would start it of.
image_of() {
    in_compose config | awk -v service="$1:" '/^  [a-z]/ { current = $1 } $1 == "image:" && current == service { print $2 }'
}

image_is_here() { docker image inspect "$1" >/dev/null 2>&1; }

images() {
    local store variable image chosen=() pulling_until=$((SECONDS + PULL_LIMIT))
    for store in "${stores[@]}"; do
        variable=$(image_variable "$store")
        [ -z "${!variable:-}" ] || chosen+=("$variable")
    done
    images_select
    for store in "${stores[@]}"; do
        variable=$(image_variable "$store")
        image=$(image_of "$store")
        if ! image_is_here "$image"; then
            image_get "$store" "$image" "$([[ " ${chosen[*]} " != *" $variable "* ]] || echo "$variable")"
            image=$(image_of "$store")
        fi
        docker image inspect --format "[image] $image, {{.Size}} bytes{{with index .Config.Labels \"stand-in\"}}, a stand-in: {{.}}{{end}}" "$image"
    done
}

# image_get <store> <image> <the variable, when the caller chose the image>
image_get() {
    case $2 in
    local/*) ;; # built here before, and removed since: there is nothing to pull
    *)
        if image_pull "$2"; then return; fi
        [ -z "$3" ] || die "$3 is $2, which is neither here nor can be pulled; see $logs/pull.log"
        ;;
    esac
    say "building a stand-in for $1 from Debian packages"
    shown "standin-$1" "build_$1"
    unset "$(image_variable "$1")"
    images_select
}

# image_pull <image>
image_pull() {
    local limit=$((pulling_until - SECONDS))
    [ "$limit" -gt 0 ] || return 1
    say "pulling $1 (at most $limit s)"
    if timeout "$limit" docker pull -q "$1" >"$logs/pull.log" 2>&1; then return; fi
    say "it cannot be pulled: $(tail -n 1 "$logs/pull.log" | cut -c -200)"
    return 1
}
