# shellcheck shell=bash
# Sourced. A stand-in for the official ZooKeeper image: the same folders, the same variables, the same default command.

build_zookeeper() {
    local folder=$cache/rootfs/zookeeper tag jvm
    rootfs "$folder"
    unpack "$folder" libc6 zlib1g libstdc++6 libgcc-s1 libtinfo6 bash openjdk-21-jre-headless zookeeper libzookeeper-java \
        libslf4j-java libnetty-java libcommons-cli-java libcommons-io-java libdropwizard-metrics-java libsnappy-java libsnappy-jni \
        libsnappy1v5 libjackson2-core-java libjackson2-databind-java libjackson2-annotations-java libjetty9-java libservlet-api-java
    with_busybox "$folder"
    jvm=$(cd "$folder/usr/lib/jvm" && compgen -G 'java-21-openjdk-*' | head -n 1)
    ln -sf "../lib/jvm/$jvm/bin/java" "$folder/usr/bin/java"
    rm -rf "${folder:?}"/{etc/init.d,etc/default,etc/zookeeper,usr/share/zookeeper,var/lib/zookeeper} \
        "$folder"/usr/share/java/{zookeeper-contrib-*,zookeeper-it*,jetty9-http2*,jetty9-alpn*,jetty9-apache*} \
        "$folder/usr/lib/jvm/$jvm/lib/server/classes_nocoops.jsa"
    mkdir -p "$folder"/{conf,data,datalog,logs}
    install -m 755 "$root/scripts/images/zookeeper-entrypoint.sh" "$folder/docker-entrypoint.sh"
    tag=local/zookeeper:$(package_version zookeeper)
    import "$folder" "$tag" "ZooKeeper of Debian $debian_suite" \
        'ENV PATH=/usr/local/bin:/usr/bin:/bin' 'WORKDIR /data' 'EXPOSE 2181 2888 3888 8080' \
        'VOLUME ["/data", "/datalog", "/logs"]' 'ENTRYPOINT ["/docker-entrypoint.sh"]' 'CMD ["zkServer.sh", "start-foreground"]'
    standin ZOOKEEPER_IMAGE "$tag"
}
