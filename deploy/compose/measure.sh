# shellcheck shell=bash
# Part of stand-in.sh (--measure): what docs/sizing.md says of memory and of the database, measured in the system that runs. These figures do not
# depend on how fast the machine is.

roles="edge dashboard chat media billing webhooks sandbox"

# memory SERVICE: what its process has in memory, in kilobytes.
memory() { ps --no-headers -o rss --ppid "$(docker inspect --format '{{.State.Pid}}' "$(compose ps --quiet "$1")")" | tr -d ' '; }

# sizes: of each schema, its tables with their indexes, in bytes.
sizes() {
    compose exec -T postgres psql --username aio --no-align --tuples-only --field-separator ' ' --command \
        "select nspname, sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where relkind = 'r' and nspname in ('billing', 'chat', 'media', 'webhooks', 'dashboard') group by 1 order by 1" aio
}

# ask COUNT AT_ONCE PATH BODY: the same request so often.
ask() {
    curl --fail --no-progress-meter --parallel --parallel-immediate --parallel-max "$2" --output /dev/null --header "Authorization: Bearer $key" \
        --header 'Content-Type: application/json' --data "$4" "http://localhost:$AIO_PORT/api/v1/$3#[1-$1]"
}

is_settled() { curl --fail --silent "http://localhost:$AIO_PORT/api/v1/credits" --header "Authorization: Bearer $key" | grep --quiet '"open_holds":0'; }

# grown WHAT COUNT: how much larger each schema is than it was (the file `sizes`), for a million.
grown() {
    sizes | while read -r schema bytes; do
        before=$(awk -v schema="$schema" '$1 == schema { print $2 }' "$work/sizes")
        printf '| %s | %s | %s GB for a million |\n' "$1" "$schema" "$(awk "BEGIN { printf \"%.2f\", ($bytes - $before) / $2 / 1000 }")"
    done
}

# growth WHAT COUNT PATH BODY
growth() {
    ask 300 16 "$3" "$4" && until_it 300 is_settled
    sizes > "$work/sizes"
    ask "$2" 16 "$3" "$4" && until_it 300 is_settled
    grown "$1" "$2"
}

# A customer's server, until we end.
customers_server() {
    python3 - "$host" <<'PYTHON' &
import http.server
import sys


class Fine(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((sys.argv[1], 18099), Fine).serve_forever()
PYTHON
    customers=$!
}

measure() {
    local role streams=256 asked customers now
    declare -A idle
    for role in $roles; do
        idle[$role]=$(memory "$role")
        printf '| idle | %s | %s MB |\n' "$role" "$((idle[$role] / 1024))"
    done
    growth 'chats' 3000 chat/completions '{"model":"gemini","messages":[{"role":"user","content":"Hello [sandbox delay=0ms tokens=50]"}]}'
    customers_server
    growth 'tasks, with a webhook each' 600 images/generations \
        "{\"model\":\"flux-2\",\"prompt\":\"a fox [sandbox delay=0ms]\",\"callback_url\":\"http://$host:18099/\"}"
    kill "$customers"
    for role in $roles; do idle[$role]=$(memory "$role"); done
    ask "$streams" "$streams" chat/completions '{"model":"gemini","stream":true,"max_tokens":1000,"messages":[{"role":"user","content":"Hello [sandbox tokens=150 chunk_delay=200ms]"}]}' &
    asked=$!
    declare -A most
    while kill -0 "$asked" 2>/dev/null; do
        for role in edge chat billing sandbox; do
            now=$(memory "$role")
            [ "$now" -le "${most[$role]:-0}" ] || most[$role]=$now
        done
        sleep 1
    done
    wait "$asked"
    for role in edge chat billing; do
        printf '| an open stream, of %s | %s | %s kB |\n' "$streams" "$role" "$(((most[$role] - idle[$role]) / streams))"
    done
}
