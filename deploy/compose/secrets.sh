#!/bin/sh
# Makes what the services need and nobody should have to invent: keys, passwords, tokens, and the URLs that hold them. One file per
# value in SECRETS_DIR (/secrets). What is there already stays as it is, so that a later version only adds what it needs besides.
# POSTGRES, REDIS and RABBITMQ are the hosts of the URLs.
set -eu
LC_ALL=C
export LC_ALL
umask 022
cd "${SECRETS_DIR:-/secrets}"
postgres=${POSTGRES:-postgres} redis=${REDIS:-redis} rabbitmq=${RABBITMQ:-rabbitmq}

# once NAME COMMAND…: the output of the command becomes the file, as a whole or not at all.
once() {
    name=$1
    shift
    [ -s "$name" ] && return
    "$@" > "$name.new"
    mv "$name.new" "$name"
}

random() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }
word() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# Six digits of base 62 for a CRC-32: gzip ends with the sum and the length.
checksum() {
    sum=$(printf %s "$1" | gzip -c | tail -c 8 | head -c 4 | od -An -tu1)
    # shellcheck disable=SC2086
    set -- $sum
    number=$(($1 + $2 * 256 + $3 * 65536 + $4 * 16777216))
    digits=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz
    text=
    for _ in 1 2 3 4 5 6; do
        text=$(printf %s "$digits" | cut -c $((number % 62 + 1)))$text
        number=$((number / 62))
    done
    printf %s "$text"
}

# A live key, as `aio operator-key` prints one.
operator_key() {
    body=aio_$(head -c 4096 /dev/urandom | tr -dc 0-9A-Za-z | head -c 36)
    printf %s%s "$body" "$(checksum "$body")"
}

# Nothing in Redis is the truth, so it keeps nothing on disk; evicting a limit would lift it, so it evicts nothing.
redis_conf() {
    printf 'requirepass %s\nsave ""\nappendonly no\nmaxmemory 512mb\nmaxmemory-policy noeviction\n' "$(cat password_redis)"
}

rabbitmq_conf() {
    cat <<CONF
default_user = aio
default_pass = $(cat password_rabbitmq)
consumer_timeout = 600000
heartbeat = 30
disk_free_limit.absolute = 2GB
raft.wal_max_size_bytes = 67108864
CONF
}

# For tests of this file: its sums must be those of the program.
if [ "${1:-}" = checksum ]; then
    checksum "$2"
    exit
fi

for name in key_mac content_key link_key; do once "$name" random; done
for role in edge chat media billing webhooks dashboard; do once "token_$role" word; done
for service in owner billing chat media webhooks dashboard redis rabbitmq grafana; do once "password_$service" word; done
once operator_key operator_key

once database_url_owner printf 'postgres://aio:%s@%s/aio' "$(cat password_owner)" "$postgres"
for service in billing chat media webhooks dashboard; do
    once "database_url_$service" printf 'postgres://aio_%s:%s@%s/aio' "$service" "$(cat "password_$service")" "$postgres"
done
once redis_url printf 'redis://:%s@%s:6379/0' "$(cat password_redis)" "$redis"
once redis.conf redis_conf
once rabbitmq_url printf 'amqp://aio:%s@%s:5672/%%2f' "$(cat password_rabbitmq)" "$rabbitmq"
once rabbitmq.conf rabbitmq_conf
