#!/usr/bin/env bash
# As for publishing, but that nothing is sent: packs each published crate, and checks each by itself, with its default features, made of its packed files
# and those of the crates below it. `cargo package` alone would build each, with all dependencies anew, which takes minutes and tells no more.
#
#   scripts/packages.sh
#
# It needs what a build of the workspace needs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"

# name_in <manifest>
name_in() { awk -F'"' '/^name = / { print $2; exit }' "$1"; }

# `publish = false` does not keep a crate from being packed.
not_published=()
for manifest in $(grep -lx 'publish = false' ./*/Cargo.toml ./*/*/Cargo.toml); do
    not_published+=(--exclude "$(name_in "$manifest")")
done

packed=$cache/packed
target=${CARGO_TARGET_DIR:-$root/target}
rm -rf "$packed" "$target"/package/*.crate
mkdir -p "$packed"

cargo fetch --locked --quiet
cargo package --locked --workspace "${not_published[@]}" --allow-dirty --no-verify --quiet
shopt -s nullglob
declare -A crates=()
for file in "$target"/package/*.crate; do
    # With the time of now: cargo gives all files one of long ago, by which they would be taken for those of an earlier run.
    tar -xzmf "$file" -C "$packed"
    folder=$(basename "$file" .crate)
    crates[$(name_in "$packed/$folder/Cargo.toml")]=$folder
done
[ ${#crates[@]} -gt 0 ] || die "no crate was packed into $target/package"

# The packed crates' own workspace: what each asks crates.io for of the others is taken from here. With the profiles of this one, so that what is checked
# already need not be checked again.
{
    printf '[workspace]\nresolver = "3"\nmembers = ['
    printf '"%s", ' "${crates[@]}"
    printf ']\n\n[patch.crates-io]\n'
    for crate in "${!crates[@]}"; do printf '%s = { path = "%s" }\n' "$crate" "${crates[$crate]}"; done
    printf '\n'
    sed -n '/^\[profile/,$p' Cargo.toml
} >"$packed/Cargo.toml"
cp Cargo.lock "$packed/"
for crate in "${!crates[@]}"; do
    say "checking $crate by itself"
    # One at a time: together, what one asks of a dependency would be there for all.
    CARGO_TARGET_DIR=$target cargo check --quiet --offline --manifest-path "$packed/Cargo.toml" -p "$crate"
done
