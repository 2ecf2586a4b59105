#!/bin/sh
# Makes what docker-compose.yml needs and nobody should have to invent: keys, passwords, tokens. Once; later runs change nothing.
# One file per value in the volume that every service of the compose file reads.
set -eu
cd /secrets
[ -e made ] && exit 0
umask 022

random() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }
word() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

for name in key_mac content_key link_key; do random > "$name"; done
for role in edge chat media billing webhooks dashboard; do word > "token_$role"; done
for service in owner billing chat media webhooks dashboard; do word > "password_$service"; done
aio operator-key > operator_key

printf 'postgres://aio:%s@postgres/aio' "$(cat password_owner)" > database_url_owner
for service in billing chat media webhooks dashboard; do
    printf 'postgres://aio_%s:%s@postgres/aio' "$service" "$(cat "password_$service")" > "database_url_$service"
done

redis=$(word)
printf 'redis://:%s@redis:6379/0' "$redis" > redis_url
# Nothing in Redis is the truth, so it keeps nothing on disk; evicting a limit would lift it, so it evicts nothing.
printf 'requirepass %s\nsave ""\nappendonly no\nmaxmemory 512mb\nmaxmemory-policy noeviction\n' "$redis" > redis.conf

rabbit=$(word)
printf 'amqp://aio:%s@rabbitmq:5672/%%2f' "$rabbit" > rabbitmq_url
cat > rabbitmq.conf <<CONF
default_user = aio
default_pass = $rabbit
consumer_timeout = 600000
heartbeat = 30
disk_free_limit.absolute = 2GB
raft.wal_max_size_bytes = 67108864
CONF

# Last: a run that was cut before starts over.
touch made
