# shellcheck shell=bash
# Sourced. Users and roles of the secured etcd servers, tokens and policies of the secured Consul servers, added once each server answers:
#
#   root       everything (etcd demands such a user before it checks any)
#   registry   reads and writes every key, or service
#   reader     reads every key, or service
#   stranger   nothing
#
# Passwords, tokens and certificates are those of scripts/certificates.sh.

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

# Consul takes the token of `root` from its configuration.
export_tokens() {
    CONSUL_ROOT_TOKEN=$(cat "$secured/tokens/root")
    export CONSUL_ROOT_TOKEN
}

# consul_in <container> <arguments…>
consul_in() {
    local container=$1
    shift
    docker exec --env "CONSUL_HTTP_TOKEN=$(cat "$secured/tokens/root")" "$container" /bin/consul "$@"
}

# set_up_tokens <service>
set_up_tokens() {
    local container user access deadline=$((SECONDS + 30))
    container=$(container_of "$1")
    # It answers before it knows its first token.
    until consul_in "$container" acl token list; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
    if consul_in "$container" acl policy read -name registry >/dev/null 2>&1; then return; fi
    for user in registry:write reader:read stranger:deny; do
        access=${user#*:} user=${user%:*}
        consul_in "$container" acl policy create -name "$user" -rules "service_prefix \"\" { policy = \"$access\" }
            node_prefix \"\" { policy = \"${access/write/read}\" }
            agent_prefix \"\" { policy = \"${access/write/read}\" }"
        consul_in "$container" acl token create -policy-name "$user" -secret "$(cat "$secured/tokens/$user")"
    done
}
