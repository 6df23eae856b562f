#!/usr/bin/env bash
# Makes sure that protoc and its include files are there: the etcd client's build generates code with them.
# On Debian as root it installs them; elsewhere it says what to install. With PROTOC set, that one is taken.
#
#   scripts/protoc.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

# Compiles a message that imports one of the include files, so that a protoc without them is found out here and not in a build.
protoc_works() {
    local folder=$cache/protoc
    mkdir -p "$folder"
    printf 'syntax = "proto3";\nimport "google/protobuf/any.proto";\nmessage Probe { google.protobuf.Any any = 1; }\n' >"$folder/probe.proto"
    "${PROTOC:-protoc}" --proto_path="$folder" ${PROTOC_INCLUDE:+"--proto_path=$PROTOC_INCLUDE"} \
        --descriptor_set_out="$folder/probe.bin" "$folder/probe.proto" >"$logs/protoc.log" 2>&1
}

elsewhere='install protoc and its include files: apk add protoc protobuf-dev (Alpine), dnf install protobuf-compiler protobuf-devel (Fedora),
brew install protobuf (macOS), winget install protobuf (Windows); or set PROTOC and PROTOC_INCLUDE'

if ! protoc_works; then
    [ -z "${PROTOC:-}" ] || die "PROTOC is set to $PROTOC, which does not compile a message that imports google/protobuf/any.proto: \
$(tail -n 1 "$logs/protoc.log")"
    have apt-get || die "$elsewhere"
    apt_install "building the etcd client needs protoc and its include files" protobuf-compiler libprotobuf-dev
    protoc_works || die "protoc still does not work: $(tail -n 1 "$logs/protoc.log")"
fi
say "protoc: $("${PROTOC:-protoc}" --version)"
