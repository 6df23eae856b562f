#!/bin/bash
# What the stand-in for the official ZooKeeper image starts with: writes the configuration that the image's documented variables ask for, unless
# one is mounted, and becomes the server.
set -euo pipefail

configuration=/conf/zoo.cfg

# As many of the official image's variables as docker-compose.yml and the tests set.
write_configuration() {
    local line
    echo "dataDir=/data"
    echo "dataLogDir=/datalog"
    echo "tickTime=${ZOO_TICK_TIME:-2000}"
    echo "initLimit=${ZOO_INIT_LIMIT:-5}"
    echo "syncLimit=${ZOO_SYNC_LIMIT:-2}"
    echo "maxClientCnxns=${ZOO_MAX_CLIENT_CNXNS:-60}"
    echo "standaloneEnabled=${ZOO_STANDALONE_ENABLED:-true}"
    echo "admin.enableServer=${ZOO_ADMINSERVER_ENABLED:-true}"
    echo "4lw.commands.whitelist=${ZOO_4LW_COMMANDS_WHITELIST:-srvr}"
    for line in ${ZOO_SERVERS:-server.1=localhost:2888:3888;2181} ${ZOO_CFG_EXTRA:-}; do echo "$line"; done
}

[ -f "$configuration" ] || write_configuration >"$configuration"
[ -f /data/myid ] || echo "${ZOO_MY_ID:-1}" >/data/myid

case "$*" in
"zkServer.sh start-foreground") ;;
*) exec "$@" ;;
esac
# Both variables hold several options each.
# shellcheck disable=SC2086
exec java ${SERVER_JVMFLAGS:-} ${JVMFLAGS:-} \
    -cp /conf:/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar \
    -Dorg.slf4j.simpleLogger.defaultLogLevel="${ZOO_LOG_LEVEL:-info}" -Dorg.slf4j.simpleLogger.showDateTime=true \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$configuration"
