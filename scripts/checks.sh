#!/usr/bin/env bash
# What is checked without a store: lints, documentation and its examples, and each crate as it would be published. Builds the program of the README's first
# command as well, and does not run it.
#
#   scripts/checks.sh
#
# It needs what a build of the workspace needs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"

say "clippy: default, no and all features"
cargo clippy --locked --workspace --all-targets -- -D warnings
# A crate on its own, so that what another member of the workspace asks for does not switch its features on.
cargo clippy --locked -p registry-connect --no-default-features --all-targets -- -D warnings
cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features
cargo test --locked --workspace --all-features --no-fail-fast --doc

say "packages"
scripts/packages.sh

say "the README's first command: its build"
cargo build --locked -p registry-examples --bin quickstart
