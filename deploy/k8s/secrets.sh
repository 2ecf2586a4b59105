#!/bin/sh
# Prints the Secrets of every role, for `kubectl apply -f -`: each has what it needs and nothing else.
#
#   deploy/k8s/secrets.sh DIR [NAMESPACE]
#
# DIR keeps the values, a file each: they are made there at the first time and read at every later one, so keep it where secrets are
# kept, and with the backups. POSTGRES, REDIS and RABBITMQ are the hosts of the URLs (postgres, redis and rabbitmq, as the overlay `dev`
# has them); a URL of another form is a file of your own, such as redis_url with rediss://… . Files below DIR/providers, DIR/stripe and
# DIR/bucket become the Secrets of those names, if there are any.
set -eu
[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
directory=$1 namespace=${2:-aio}
umask 077
mkdir -p "$directory"
SECRETS_DIR=$directory sh "$here/../compose/secrets.sh" >&2
# What the sandbox must have, and nobody else's.
mkdir -p "$directory/sandbox"
for name in key_mac content_key link_key; do
    [ -s "$directory/sandbox/$name" ] || head -c 32 /dev/urandom | base64 | tr -d '\n' > "$directory/sandbox/$name"
done

# secret NAME FILE…: a file of DIR, or as=file.
secret() {
    name=$1
    shift
    for file; do
        shift
        set -- "$@" "--from-file=${file%%=*}=$directory/${file#*=}"
    done
    kubectl create secret generic "$name" --namespace "$namespace" --dry-run=client --output yaml "$@"
    echo ---
}

# folder NAME: all files of DIR/NAME.
folder() {
    [ -d "$directory/$1" ] || return 0
    kubectl create secret generic "aio-$1" --namespace "$namespace" --dry-run=client --output yaml --from-file="$directory/$1"
    echo ---
}

keys="key_mac content_key link_key"
# shellcheck disable=SC2086
{
    secret aio-edge $keys token_edge redis_url
    secret aio-dashboard $keys token_dashboard redis_url database_url=database_url_dashboard
    secret aio-chat $keys token_chat token_edge token_dashboard database_url=database_url_chat
    secret aio-media $keys token_media token_edge token_chat token_dashboard database_url=database_url_media redis_url rabbitmq_url
    secret aio-billing $keys token_billing token_edge token_chat token_media token_dashboard database_url=database_url_billing operator_key
    secret aio-webhooks $keys token_edge token_media token_billing token_dashboard database_url=database_url_webhooks
}
secret aio-migrate database_url=database_url_owner password_billing password_chat password_media password_webhooks password_dashboard
secret aio-operator operator_key
secret aio-sandbox key_mac=sandbox/key_mac content_key=sandbox/content_key link_key=sandbox/link_key
secret aio-stores password_owner redis.conf rabbitmq.conf
for name in providers stripe bucket; do folder "$name"; done
