#!/usr/bin/env bash
# Everything that must pass before a change goes in, in one command. It needs a Rust toolchain and crates.io, and on Debian as root nothing else;
# elsewhere also protoc with its include files, OpenSSL's headers, and a container engine.
#
#   scripts/test-all.sh
#
# What it installs, only where it is absent and each time with a line that says so:
#   - the toolchain's own components rustfmt and clippy (through rustup);
#   - protoc and its include files (scripts/protoc.sh), with apt-get;
#   - OpenSSL's headers and pkg-config (scripts/openssl.sh), with apt-get;
#   - a container engine, compose and the stores' images (scripts/backends.sh), with apt-get and into .cache/;
#   - cargo-deny, built from crates.io into .cache/tools/ (about a minute on two cores, once).
# Otherwise nothing is written outside this folder but by rustup and by cargo's download cache. The stores are taken down at the end, unless they
# were up before.
#
# Environment:
#   CARGO_DENY=off          leave the check of licences, bans and advisories out, and say so at the end
#   REQUIRE_ADVISORIES=1    fail when the advisory database cannot be fetched, instead of saying so at the end
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo_deny_version=0.20.2
tools=$PWD/.cache/tools
export PATH="$tools/bin:$PATH" CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
# In CI nothing is built twice, so that incremental state only costs time and disk.
if [ -n "${CI:-}" ]; then export CARGO_INCREMENTAL=0; fi

started=$SECONDS
not_checked=()
step() { printf '\n=== %s (at %d s)\n' "$1" "$((SECONDS - started))"; }

step "set-up"
for component in rustfmt clippy; do
    if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
        echo "installing the toolchain's component $component"
        rustup component add "$component"
    fi
done
cargo --version
cargo fetch --locked --quiet &
fetched=$!
trap 'kill "$fetched" 2>/dev/null || true' EXIT
scripts/protoc.sh
scripts/openssl.sh
wait "$fetched"
# The engine and the images, while the code is checked and built.
mkdir -p .cache/logs
scripts/backends.sh prepare >.cache/logs/prepare.log 2>&1 &
prepared=$!

step "format"
cargo fmt --all --check

step "clippy: default, no and all features"
cargo clippy --locked --workspace --all-targets -- -D warnings
# A crate on its own, so that what another member of the workspace asks for does not switch its features on.
cargo clippy --locked -p registry-connect --no-default-features --all-targets -- -D warnings
cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

# Doc tests and the tidy checks (integration-tests/tests/tidy.rs) are among these; documentation and packages are checked beside the last of them.
step "tests, documentation, packages"
cargo test --locked --workspace --all-features --no-run --quiet
failed=
wait "$prepared" || failed=1
cat .cache/logs/prepare.log
[ -z "$failed" ] || exit 1
# What checks the licences is built beside the tests, in the time that they leave.
deny=
if [ "${CARGO_DENY:-}" != off ] && ! cargo deny --version >/dev/null 2>&1; then
    echo "installing cargo-deny $cargo_deny_version into .cache/tools"
    # Unoptimised, and without debug information: it is built far sooner, and this workspace is small enough for it.
    env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 nice -n 19 cargo install --debug --locked --quiet "cargo-deny@$cargo_deny_version" --root "$tools" >.cache/logs/deny.log 2>&1 &
    deny=$!
    trap 'kill "$deny" 2>/dev/null || true' EXIT
fi
# A store that is not there makes its tests fail here; under plain `cargo test` they show as ignored.
REGISTRY_TEST_REQUIRE=etcd,zookeeper,consul scripts/backends.sh all scripts/tests.sh

step "the README's first command"
cargo run --locked --quiet -p quickstart

step "licences, bans, sources and advisories"
if [ "${CARGO_DENY:-}" = off ]; then
    not_checked+=("licences, bans, sources and advisories: switched off by CARGO_DENY=off")
else
    if [ -n "$deny" ] && ! wait "$deny"; then
        cat .cache/logs/deny.log >&2
        exit 1
    fi
    cargo deny --all-features check licenses bans sources
    # The database comes from a git host that not every machine reaches. That is no finding, but it is no pass either.
    if cargo deny --all-features fetch db >/dev/null 2>"$tools/fetch.log"; then
        cargo deny --all-features check --disable-fetch advisories
    elif [ -n "${REQUIRE_ADVISORIES:-}" ]; then
        cat "$tools/fetch.log" >&2
        echo "the advisory database cannot be fetched, and REQUIRE_ADVISORIES is set" >&2
        exit 1
    else
        not_checked+=("advisories: the advisory database cannot be fetched from here")
    fi
fi

printf '\n=== all passed in %d s\n' "$((SECONDS - started))"
for what in ${not_checked[@]+"${not_checked[@]}"}; do
    echo "NOT CHECKED: $what"
done
