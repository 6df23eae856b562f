# shellcheck shell=bash
# Sourced. The stores' images: those that are here, else the official ones, else stand-ins made of Debian packages.
# A stand-in has a name of its own (local/…) and the label `stand-in`; it is never tagged as official.

standins=$cache/standins.env
# How long all pulls together may take, in seconds.
: "${PULL_LIMIT:=180}"

# Names the stand-ins that are in use, unless the caller names images.
images_select() {
    [ -s "$standins" ] || return 0
    local name image
    while IFS='=' read -r name image; do
        [ -n "${!name:-}" ] || export "$name=$image"
    done <"$standins"
}

image_names() { in_compose config | awk '$1 == "image:" { print $2 }' | sort -u; }

image_is_here() { docker image inspect "$1" >/dev/null 2>&1; }

images() {
    local image names chosen=${ETCD_IMAGE:-}
    images_select
    names=$(image_names)
    for image in $names; do
        if ! image_is_here "$image"; then
            images_get "$image" "$chosen"
            names=$(image_names)
        fi
    done
    for image in $names; do
        docker image inspect --format "[image] $image, {{.Size}} bytes{{with index .Config.Labels \"stand-in\"}}, a stand-in: {{.}}{{end}}" "$image"
    done
}

# images_get <image> <what the caller chose>
images_get() {
    case $1 in
    local/*) ;; # built here before, and removed since: there is nothing to pull
    *)
        say "pulling $1 (at most $PULL_LIMIT s)"
        if timeout "$PULL_LIMIT" docker pull -q "$1" >"$logs/pull.log" 2>&1; then return; fi
        [ -z "$2" ] || die "ETCD_IMAGE is $2, which is neither here nor can be pulled: $(tail -n 1 "$logs/pull.log")"
        say "it cannot be pulled: $(tail -n 1 "$logs/pull.log" | cut -c -200)"
        ;;
    esac
    say "building a stand-in for etcd from Debian packages"
    shown standin-etcd build_etcd
    unset ETCD_IMAGE
    images_select
}
