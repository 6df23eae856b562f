# shellcheck shell=bash
# Sourced. Users and roles of the secured etcd servers, added once each server answers:
#
#   root       everything (etcd demands such a user before it checks any)
#   registry   reads and writes every key
#   reader     reads every key
#   stranger   nothing
#
# Passwords and certificates are those of scripts/certificates.sh.

secured=$cache/secured

# etcdctl_in <container> <arguments…>
etcdctl_in() {
    local container=$1
    shift
    docker exec "$container" /usr/local/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/certificates/ca.pem \
        --cert=/certificates/client.pem --key=/certificates/client.key "$@"
}

# set_up_users <service>
set_up_users() {
    local container user root_login
    container=$(container_of "$1")
    root_login=root:$(cat "$secured/passwords/root")
    if etcdctl_in "$container" --user="$root_login" user get registry >/dev/null 2>&1; then return; fi
    echo "adding users and switching authentication on"
    for user in root registry reader stranger; do
        etcdctl_in "$container" user add "$user:$(cat "$secured/passwords/$user")"
        etcdctl_in "$container" role add "$user"
        etcdctl_in "$container" user grant-role "$user" "$user"
    done
    # From the empty key on: every key.
    etcdctl_in "$container" role grant-permission registry readwrite --from-key ""
    etcdctl_in "$container" role grant-permission reader read --from-key ""
    etcdctl_in "$container" auth enable
}
