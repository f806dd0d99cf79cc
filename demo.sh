#!/usr/bin/env bash
# The whole fleet on one machine, without Docker: ./demo.sh PICTURE [PROMPT]
#
# Starts what compose.yaml starts (redis, postgres where it is installed, the server, a worker),
# makes one clip from the picture through the API, follows it live, and ends everything again.
# The clip is left as kinora-demo.mp4. Needs redis-server, curl, and `make run` to have set up .venv.
set -euo pipefail
cd "$(dirname "$0")"

picture=${1:-}
prompt=${2:-a dog running to the right in the snow}
[ -f "$picture" ] || { echo "usage: ./demo.sh PICTURE [PROMPT]" >&2; exit 2; }
for program in redis-server curl; do
    command -v "$program" >/dev/null || { echo "demo.sh needs $program." >&2; exit 2; }
done
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || make --no-print-directory .venv/.run
"$python" -c "import rq, psycopg" 2>/dev/null || "$python" -m pip install -q -r requirements-scale.txt

# -- a folder and ports of its own, all gone at the end -------------------------------------------
folder=$(mktemp -d "${TMPDIR:-/tmp}/kinora-demo.XXXXXX")
chmod 755 "$folder"
started=()
postgres=""
pg() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$postgres/$1" "${@:2}"; else "$postgres/$1" "${@:2}"; fi; }
finish() {
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do kill "${started[i]}" 2>/dev/null || true; done
    wait || true
    if [ -n "$postgres" ]; then
        (cd / && pg pg_ctl -D "$folder/pg/data" -m fast -w stop >/dev/null 2>&1) || true
    fi
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM
free_port() { "$python" -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"; }
begin() { # name, command ...
    echo "starting $1"
    "${@:2}" >"$folder/$1.log" 2>&1 &
    started+=("$!")
}
redis_port=$(free_port) pg_port=$(free_port) port=$(free_port)

export KINORA_DATA_DIR="$folder/data" ARTIFACTS_URL="file://$folder/shared"
export REDIS_URL="redis://127.0.0.1:$redis_port/0"
export GRADIO_SERVER_NAME=127.0.0.1 GRADIO_SERVER_PORT="$port" GRADIO_ANALYTICS_ENABLED=False
export GRADIO_TEMP_DIR="$folder/gradio"

begin redis redis-server --port "$redis_port" --bind 127.0.0.1 --save "" --appendonly yes --dir "$folder"
for bin in /usr/lib/postgresql/*/bin; do [ -x "$bin/initdb" ] && postgres=$bin; done
if [ -n "$postgres" ]; then
    echo "starting postgres"
    mkdir "$folder/pg"
    [ "$(id -u)" != 0 ] || chown postgres "$folder/pg"
    (
        cd /
        pg initdb -D "$folder/pg/data" -U kinora -A trust -N >/dev/null
        options="-p $pg_port -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        pg pg_ctl -D "$folder/pg/data" -o "$options" -l "$folder/pg/log" -w start >/dev/null
        pg createdb -h 127.0.0.1 -p "$pg_port" -U kinora kinora
    )
    export DATABASE_URL="postgresql://kinora@127.0.0.1:$pg_port/kinora"
else
    echo "PostgreSQL is not installed: SQLite instead"
fi
begin worker "$python" app.py worker
begin api "$python" app.py serve

# -- one clip, as any program would ask for it ----------------------------------------------------
url="http://127.0.0.1:$port"
call() { curl -fsS --noproxy '*' -b "$folder/cookies" -c "$folder/cookies" "$@"; }
field() { "$python" -c "import json, sys; print(json.load(sys.stdin)[sys.argv[1]])" "$1"; }
echo "waiting for $url"
for _ in $(seq 600); do
    call "$url/ready" >/dev/null 2>&1 && break
    for each in "${started[@]}"; do
        kill -0 "$each" 2>/dev/null || { echo "one of them ended:" >&2; tail -n 20 "$folder"/*.log >&2; exit 1; }
    done
    sleep 0.5
done
call "$url/ready" >/dev/null || { echo "nothing is ready:" >&2; tail -n 20 "$folder"/*.log >&2; exit 1; }

job=$(call "$url/api/generate" -F "image=@$picture" -F "prompt=$prompt" | field job_id)
echo "accepted as $job; this is what happens to it:"
call -N "$url/api/jobs/$job/events" | grep --line-buffered '^event:' | uniq -c
call "$url/api/result/$job" -o kinora-demo.mp4
echo "made: kinora-demo.mp4, $(wc -c <kinora-demo.mp4) bytes; whose making says:"
"$python" app.py verify kinora-demo.mp4 || true
