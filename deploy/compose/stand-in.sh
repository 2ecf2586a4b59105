#!/usr/bin/env bash
# Runs the whole docker-compose.yml where no registry can be reached: every image it needs is made of Debian's packages, and the program is
# one that was built before. Needs root and Debian's mirror; what is missing is installed (docker.io, docker-compose, debootstrap).
#
#   deploy/compose/stand-in.sh [--suite] [--measure] PROGRAM [KEEP]
#
# PROGRAM is the built `aio`. It starts an engine of its own, everything in it (of the profile `observe` what Debian has: Prometheus), asks
# it what a customer asks, kills every service once, audits the ledger, takes a copy of the database and goes back to it, and stops all of
# it again. KEEP is a folder for what takes long to make, which a later run takes up. With --suite (needs Rust) the black-box suite is asked
# of it first, and again while the services are killed: what fails then is asked anew, and has to pass. With --measure it says what
# docs/sizing.md says of memory and of the database.
set -euo pipefail
suite='' measure=''
while :; do
    case ${1:-} in
        --suite) suite=1 ;;
        --measure) measure=1 ;;
        *) break ;;
    esac
    shift
done
[ $# -ge 1 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
program=$(realpath "$1")
keep=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d /tmp/stand-in.XXXXXX)
keep=${keep:-$work/keep}
mkdir -p "$keep"
keep=$(realpath "$keep")
# Debian's own client and compose, whatever else is installed; but for cargo.
paths=$PATH
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1 DOCKER_CONFIG=$work
export COMPOSE_PROJECT_NAME=aio-stand-in
export AIO_PORT=${AIO_PORT:-18080} AIO_DASHBOARD_PORT=${AIO_DASHBOARD_PORT:-18081}
export AIO_PROMETHEUS_PORT=${AIO_PROMETHEUS_PORT:-19090}
export AIO_PUBLIC_URL=http://localhost:$AIO_PORT
# This machine, as containers reach it: what listens there may be called.
host=${STAND_IN_HOST:-10.213.0.1}
export AIO_EGRESS__ALLOW=$host/32
export AIO_BUILT=stand-in-built AIO_RUNTIME_IMAGE=stand-in-runtime
export AIO_POSTGRES_IMAGE=stand-in-postgres AIO_RABBITMQ_IMAGE=stand-in-rabbitmq AIO_REDIS_IMAGE=stand-in-redis
export AIO_PROMETHEUS_IMAGE=stand-in-prometheus
engine=

say() { printf '%(%H:%M:%S)T %s\n' -1 "$*"; }
compose() { docker-compose --file "$root/docker-compose.yml" ${suite:+--file "$here/suite.yml"} "$@"; }
aio() { compose exec -T edge aio "$@" --url http://localhost:8080; }

finish() {
    code=$?
    if [ -n "$engine" ]; then
        [ "$code" = 0 ] || compose logs --no-color > "$keep/log" 2>&1 || true
        compose down --volumes --timeout 5 >/dev/null 2>&1 || true
        kill "$engine" 2>/dev/null || true
        wait "$engine" 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT

# need PROGRAM PACKAGE
need() { command -v "$1" >/dev/null || apt-get -qq install --yes --no-install-recommends "$2" >/dev/null; }

# The smallest Debian there is, with the certificates that the program needs.
runtime() {
    [ -e "$keep/runtime.tar" ] && return
    say "making a tree of Debian's packages"
    debootstrap --variant=minbase --include=ca-certificates "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$work/tree" > "$work/tree.log"
    kept runtime
}

# The same with the stores, none of them running.
stores() {
    [ -e "$keep/stores.tar" ] && return
    say "adding the stores to it"
    [ -d "$work/tree" ] || { mkdir "$work/tree" && tar --extract --file "$keep/runtime.tar" --directory "$work/tree"; }
    cp --archive --remove-destination /dev/null /dev/zero /dev/random /dev/urandom "$work/tree/dev/"
    printf '#!/bin/sh\nexit 101\n' > "$work/tree/usr/sbin/policy-rc.d"
    chmod +x "$work/tree/usr/sbin/policy-rc.d"
    chroot "$work/tree" sh -c "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $*" >> "$work/tree.log" 2>&1
    rm -rf "$work/tree"/var/lib/apt/lists/*
    kept stores
}

# kept NAME: the tree as it is now, for this run and later ones.
kept() {
    rm -f "$work/tree"/var/cache/apt/archives/*.deb
    tar --create --file "$keep/$1.tar.new" --directory "$work/tree" --exclude=./dev/* .
    mv "$keep/$1.tar.new" "$keep/$1.tar"
}

# An image of a tree, with what the official one of that name starts.
image() {
    local name=$1 entry=$2 command=$3
    mkdir -p "$work/image"
    printf '%s\n' "$entry" > "$work/image/entry"
    chmod +x "$work/image/entry"
    printf 'FROM stand-in-stores\nCOPY entry /entry\nENV %s\nENTRYPOINT ["/entry"]\nCMD ["%s"]\n' "$4" "$command" > "$work/image/Dockerfile"
    docker build --quiet --tag "$name" "$work/image" >/dev/null
}

images() {
    runtime
    stores postgresql-15 rabbitmq-server redis-server prometheus
    docker import "$keep/runtime.tar" stand-in-runtime >/dev/null
    docker import "$keep/stores.tar" stand-in-stores >/dev/null
    mkdir -p "$work/built/out/usr/local/bin" "$work/built/places"/{data,outputs}
    install --mode=0755 --strip "$program" "$work/built/out/usr/local/bin/aio"
    chmod 0700 "$work/built/places"/*
    tar --create --directory "$work/built" . | docker import - stand-in-built >/dev/null
    # shellcheck disable=SC2016
    image stand-in-postgres '#!/bin/bash
# As the official image: makes the cluster at the first start.
set -e
[ "$1" = postgres ] || exec "$@"
: "${PGDATA:=/var/lib/postgresql/data}"
mkdir -p "$PGDATA" /var/run/postgresql && chown postgres: "$PGDATA" /var/run/postgresql && chmod 700 "$PGDATA"
run() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    run initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --auth-host scram-sha-256 --auth-local trust
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    run pg_ctl --pgdata "$PGDATA" --wait --options "-c listen_addresses=" start
    run createdb --host /var/run/postgresql --username "$POSTGRES_USER" "$POSTGRES_DB" 2>/dev/null || true
    run pg_ctl --pgdata "$PGDATA" --wait stop
fi
shift
exec setpriv --reuid postgres --regid postgres --init-groups postgres -D "$PGDATA" -c "listen_addresses=*" "$@"' \
        postgres PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin
    # shellcheck disable=SC2016
    image stand-in-rabbitmq '#!/bin/bash
chown -R rabbitmq: /var/lib/rabbitmq
echo "[rabbitmq_prometheus]." > /etc/rabbitmq/enabled_plugins
export HOME=/var/lib/rabbitmq
exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups /usr/lib/rabbitmq/bin/rabbitmq-server' \
        rabbitmq-server "PATH=/usr/sbin:/usr/bin:/sbin:/bin RABBITMQ_LOGS=-"
    # shellcheck disable=SC2016
    image stand-in-redis '#!/bin/sh
exec setpriv --reuid redis --regid redis --init-groups "$@"' \
        redis-server PATH=/usr/sbin:/usr/bin:/sbin:/bin
    # shellcheck disable=SC2016
    image stand-in-prometheus '#!/bin/sh
exec prometheus "$@"' \
        prometheus PATH=/usr/sbin:/usr/bin:/sbin:/bin
}

# What a customer does: a chat, a task to its end; and what an operator does: the audit.
customer() {
    local task status
    curl --fail --silent --show-error "http://localhost:$AIO_PORT/api/v1/chat/completions" --header "Authorization: Bearer $key" \
        --header 'Content-Type: application/json' --data '{"model":"gemini","messages":[{"role":"user","content":"Hello"}]}' | grep --quiet '"content"' || return 1
    task=$(curl --fail --silent --show-error "http://localhost:$AIO_PORT/api/v1/images/generations" --header "Authorization: Bearer $key" \
        --header 'Content-Type: application/json' --data '{"model":"flux-2","prompt":"a red fox in the snow"}' | sed 's/.*"task_id":"\([^"]*\)".*/\1/') || return 1
    for _ in $(seq 120); do
        status=$(curl --silent "http://localhost:$AIO_PORT/api/v1/tasks/$task" --header "Authorization: Bearer $key")
        case $status in *'"status":"completed"'*) return 0 ;; *'"status":"failed"'*) break ;; esac
        sleep 0.5
    done
    say "the task $task did not complete: $status"
    return 1
}

# until SECONDS COMMAND…
until_it() {
    local patience=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$patience" ] || { say "in vain: $*"; "$@"; return 1; }
        sleep 1
    done
}

# Ends a service as a fault does, and not as an operator: the engine starts it again by itself.
crash() { kill -KILL "$(docker inspect --format '{{.State.Pid}}' "$(compose ps --quiet "$1")")"; }

crashes() {
    local service
    for service in edge dashboard chat media billing webhooks sandbox postgres rabbitmq redis; do
        crash "$service"
        until_it 120 customer
        say "killed $service: served again"
    done
}

# suite WORDS…: the black-box suite, with more words for its runner.
suite() {
    (cd "$root" && PATH=$paths && cargo xtask test --against "$AIO_PUBLIC_URL" --pages "http://localhost:$AIO_DASHBOARD_PORT" \
        --operator-key "$work/operator_key" --sink "$host" --settings "$here/suite.env" --program "$program" -- "$@")
}

# Prometheus hears every role and the broker.
is_heard() {
    local up
    up=$(curl --fail --silent --get "http://localhost:$AIO_PROMETHEUS_PORT/api/v1/query" --data-urlencode 'query=count(up == 1)') || return 1
    case $up in *'"9"]'*) return 0 ;; *) return 1 ;; esac
}

# What the roles have logged names no key, no secret and no prompt, and none has panicked.
logs_are_clean() {
    compose logs --no-color edge dashboard chat media billing webhooks sandbox > "$work/logs" 2>&1
    ! grep --max-count=3 --fixed-strings --regexp=panicked --regexp=aio_test_ --regexp=whsec_ --regexp='[sandbox' \
        --file="$work/operator_key" "$work/logs"
}

need dockerd docker.io
need docker-compose docker-compose
need debootstrap debootstrap
need iptables iptables
dockerd --data-root "$work/engine" --exec-root "$work/run" --pidfile "$work/pid" --host "$DOCKER_HOST" --bip "$host/24" \
    --default-address-pool "base=${host%.*.*}.64.0/18,size=24" > "$keep/engine.log" 2>&1 &
engine=$!
until_it 60 docker info
images
say "up"
compose up --detach --build
until_it 120 curl --fail --silent "http://localhost:$AIO_PORT/readyz"
compose up --detach --no-build prometheus
compose ps
(umask 077 && compose exec -T postgres cat /secrets/operator_key > "$work/operator_key")

account=$(aio accounts create "My team" --json | sed 's/.*"account_id":"\([^"]*\)".*/\1/')
key=$(aio keys create "$account" --mode test --json | sed 's/.*"key":"\(aio_test_[^"]*\)".*/\1/')
aio credits add "$account" 100000 --mode test >/dev/null
customer
# Not into a pipe: who has found the title hangs up, and curl fails at what is left.
curl --fail --silent --show-error --output "$work/page" "http://localhost:$AIO_DASHBOARD_PORT/"
grep --quiet --ignore-case '<title>' "$work/page"
aio ledger audit
say "served a chat, a task and a page"
until_it 120 is_heard
say "Prometheus hears all of it"

# shellcheck source=deploy/compose/measure.sh
. "$here/measure.sh"
[ -z "$measure" ] || measure

if [ -n "$suite" ]; then
    suite
    say "the suite passed"
    : > "$keep/suite.log"
    suite --retries 4 > "$keep/suite.log" 2>&1 &
    asked=$!
    # Not while its runner is still being built.
    until_it 900 grep --quiet 'PASS \[' "$keep/suite.log"
    crashes
    wait "$asked" || { tail --lines=60 "$keep/suite.log"; exit 1; }
    tail --lines=1 "$keep/suite.log"
    say "the suite passed while every service was killed"
else
    crashes
fi
aio ledger audit
logs_are_clean

say "going back to a copy of the database"
compose exec -T postgres pg_dump --username aio --format custom aio > "$work/aio.dump"
before=$(aio ledger audit --json)
compose stop --timeout 20 edge dashboard chat media webhooks billing >/dev/null 2>&1
compose exec -T postgres dropdb --username aio --force aio
compose exec -T postgres createdb --username aio aio
compose run --rm -T migrate >/dev/null
compose exec -T postgres pg_restore --username aio --clean --if-exists --dbname aio < "$work/aio.dump"
compose rm --force --stop -v redis rabbitmq >/dev/null 2>&1
docker volume rm "${COMPOSE_PROJECT_NAME}_rabbitmq" >/dev/null
compose up --detach --no-build >/dev/null 2>&1
until_it 120 customer
aio ledger audit
say "went back; before: $before"
say "all went well"
