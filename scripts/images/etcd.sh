# shellcheck shell=bash
# Sourced. A stand-in for the official etcd image: the same paths, the same default command, no shell in it either.

build_etcd() {
    local folder=$cache/rootfs/etcd tag
    rootfs "$folder"
    unpack "$folder" libc6 etcd-server etcd-client
    mv "$folder"/usr/bin/etcd* "$folder/usr/local/bin/"
    rm -rf "${folder:?}"/{usr/share,var/lib/etcd}
    mkdir -p "$folder/var/lib/etcd" "$folder/etcd-data"
    tag=local/etcd:$(package_version etcd-server)
    import "$folder" "$tag" "etcd of Debian $debian_suite" \
        'ENV PATH=/usr/local/bin:/usr/bin:/bin' 'WORKDIR /var/lib/etcd' 'EXPOSE 2379 2380' 'CMD ["/usr/local/bin/etcd"]'
    standin ETCD_IMAGE "$tag"
}
