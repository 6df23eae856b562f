#!/usr/bin/env bash
# What is checked without a test and is no lint: the documentation, and each crate as it would be published. Builds the program of the README's first command as
# well, and does not run it.
#
#   scripts/checks.sh
#
# It needs what a build of the workspace needs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features
say "packages"
scripts/packages.sh
say "the README's first command: its build"
cargo build --locked -p quickstart
