#!/usr/bin/env bash
# Makes sure that OpenSSL's headers and pkg-config are there: the Consul client's HTTP library is built with the TLS of the system, which on Linux is
# OpenSSL. On Debian as root it installs them; elsewhere it says what to install. macOS and Windows have TLS of their own. With OPENSSL_DIR set, that one
# is taken.
#
#   scripts/openssl.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

if [ "$(uname -s)" != Linux ]; then
    say "openssl: not needed on $(uname -s)"
    exit 0
fi
if [ -n "${OPENSSL_DIR:-}" ]; then
    [ -e "$OPENSSL_DIR/include/openssl/ssl.h" ] || die "OPENSSL_DIR is set to $OPENSSL_DIR, which has no include/openssl/ssl.h"
    say "openssl: $OPENSSL_DIR"
    exit 0
fi

openssl_works() { have pkg-config && pkg-config --exists openssl; }

if ! openssl_works; then
    have apt-get || die "install OpenSSL's headers and pkg-config: apk add openssl-dev pkgconf (Alpine), dnf install openssl-devel pkgconf (Fedora); or set OPENSSL_DIR"
    apt_install "building the Consul client needs OpenSSL's headers and pkg-config" libssl-dev pkg-config
    openssl_works || die "pkg-config still does not find OpenSSL"
fi
say "openssl: $(pkg-config --modversion openssl)"
