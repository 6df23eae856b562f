#!/usr/bin/env bash
# Makes what the secured test stores need, once, and again when it is about to expire.
#
#   scripts/certificates.sh [FOLDER]         .cache/secured by default
#
#   certificates/ca.pem                      signs the server and the clients below
#   certificates/server.{pem,key}            for 127.0.0.1, etcd.test and consul.test, and for no other name: `localhost` is the wrong host
#   certificates/client.{pem,key}            what a client presents
#   certificates/client-rotated.{pem,key}    the client's next pair, from the same authority
#   certificates/other-ca.pem                an authority that the server knows nothing of
#   certificates/other-client.{pem,key}      signed by it, so refused
#   passwords/{root,registry,reader,stranger}   of etcd's users; scripts/lib/secured.sh says what each may do
#   tokens/{root,registry,reader,stranger}      the same for Consul
#
# All of it is made up here and worth nothing elsewhere.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

folder=${1:-$cache/secured}
mkdir -p "$folder"/{certificates,passwords,tokens}
cd "$folder"
have openssl || apt_install "certificates are made with openssl" openssl

# new_key <name>
new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }

# authority <name> <common name>
authority() {
    new_key "$1"
    openssl req -x509 -new -key "$1.key" -out "$1.pem" -days 365 -subj "/CN=$2" \
        -addext keyUsage=critical,keyCertSign,cRLSign
}

# issue <authority> <name> <common name> <extension lines>
issue() {
    new_key "$2"
    openssl req -new -key "$2.key" -subj "/CN=$3" |
        openssl x509 -req -CA "$1.pem" -CAkey "$1.key" -days 365 -out "$2.pem" \
            -extfile <(printf 'basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n%b\n' "$4") 2>/dev/null
}

make_certificates() {
    local client='extendedKeyUsage=clientAuth\nsubjectAltName=DNS:client.test'
    authority ca "test authority"
    authority other-ca "another test authority"
    # etcd's own gateway presents the server's certificate to itself as a client's.
    issue ca server server 'extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=IP:127.0.0.1,DNS:etcd.test,DNS:consul.test'
    issue ca client client "$client"
    issue ca client-rotated client "$client"
    issue other-ca other-client client "$client"
}

(
    umask 077
    # Two at once would mix their files.
    exec 9>lock
    flock 9
    if ! openssl x509 -checkend 86400 -noout -in certificates/complete.pem >/dev/null 2>&1; then
        say "making certificates in $folder"
        (cd certificates && make_certificates && cp server.pem complete.pem)
    fi
    for user in root registry reader stranger; do
        [ -s "passwords/$user" ] || openssl rand -hex 12 >"passwords/$user"
        # Consul wants the form of a UUID.
        [ -s "tokens/$user" ] || openssl rand -hex 16 | sed -E 's/(.{8})(.{4})(.{4})(.{4})/\1-\2-\3-\4-/' >"tokens/$user"
    done
)
