# shellcheck shell=bash
# Sourced. Makes an image of Debian packages alone: unpack and `docker import`. No base image, no maintainer scripts, no Dockerfile.

# rootfs <folder>: an empty root with the few files that a C library wants.
rootfs() {
    rm -rf "$1"
    mkdir -p "$1"/{usr/bin,usr/sbin,usr/lib,usr/lib64,usr/local/bin,etc,tmp,var/lib,var/log,root,proc,sys,dev,run}
    chmod 1777 "$1/tmp"
    local folder
    for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$1/$folder"; done
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$1/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
    echo 'hosts: files dns' >"$1/etc/nsswitch.conf"
}

# unpack <folder> <package…>: the packages' files without what only people read.
unpack() {
    local folder=$1 files file
    shift
    files=$(debian_packages "$@")
    for file in $files; do
        dpkg-deb --fsys-tarfile "$file" | tar -x -C "$folder" --keep-directory-symlink \
            --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
            --exclude='./usr/share/lintian/*' --exclude='./usr/share/info/*' --exclude='./usr/share/maven-repo/*' --exclude='./usr/share/bash-completion/*' \
            --exclude='./usr/lib/systemd/*' --exclude='./lib/systemd/*' --exclude='*/gconv/*'
    done
}

# with_busybox <folder>: the small commands that health checks and entry points use, without a shell's packages.
with_busybox() {
    local folder=$1 command
    unpack "$folder" busybox-static
    for command in $("$folder/usr/bin/busybox" --list); do
        [ -e "$folder/usr/bin/$command" ] || ln -s busybox "$folder/usr/bin/$command"
    done
}

# package_version <package>: its upstream version.
package_version() {
    local file
    file=$(debian_packages "$1")
    dpkg-deb --field "$file" Version | sed 's/^[0-9]*://; s/[-+~].*//'
}

# import <folder> <tag> <what is in it> <Dockerfile instruction…>
import() {
    local folder=$1 tag=$2 what=$3 instruction changes=()
    shift 3
    for instruction; do changes+=(--change "$instruction"); done
    changes+=(--change "LABEL stand-in=\"$what\"")
    tar -C "$folder" --numeric-owner -c . | docker import "${changes[@]}" - "$tag"
    rm -rf "$folder"
}

# standin <variable> <tag>: from now on compose takes this image.
standin() {
    { grep -v "^$1=" "$standins" 2>/dev/null || true; } >"$standins.new"
    echo "$1=$2" >>"$standins.new"
    mv "$standins.new" "$standins"
}
