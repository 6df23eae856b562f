# shellcheck shell=bash
# Sourced. A stand-in for the official Consul image: the same program and folders. Its entry point is the program itself, as docker-compose.yml
# has it for the official image, too.

# The last suite that has it.
consul_suite=bullseye

build_consul() {
    local folder=$cache/rootfs/consul tag
    rootfs "$folder"
    unpack "$folder" libc6
    with_busybox "$folder"
    debian_suite=$consul_suite unpack "$folder" consul
    rm -rf "${folder:?}"/{usr/share,etc/init.d,etc/default,etc/consul.d,var/lib/consul}
    mkdir -p "$folder"/consul/{data,config}
    tag=local/consul:$(debian_suite=$consul_suite package_version consul)
    import "$folder" "$tag" "Consul of Debian $consul_suite" \
        'ENV PATH=/usr/local/bin:/usr/bin:/bin' 'EXPOSE 8300 8301 8301/udp 8302 8302/udp 8500 8600 8600/udp' \
        'ENTRYPOINT ["/bin/consul"]' 'CMD ["agent", "-dev", "-client=0.0.0.0"]'
    standin CONSUL_IMAGE "$tag"
}
