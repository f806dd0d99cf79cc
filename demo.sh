#!/usr/bin/env bash
# A server, a worker and Redis on one machine, without Docker: ./demo.sh IMAGE [PROMPT]
#
# Starts the services of compose.yaml (Redis, PostgreSQL if it is installed, a worker, the server),
# makes one clip from the image through the API, prints its progress, and stops everything again,
# also after Ctrl-C. Writes kinora-demo.mp4 to the current folder. Needs redis-server and curl.
#
#   exit status    0 done   1 failed   2 the image cannot be used   130, 143 stopped
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
picture=${1:-}
prompt=${2:-a dog running to the right in the snow}
clip=$PWD/kinora-demo.mp4
[ -n "$picture" ] || { echo "usage: ./demo.sh IMAGE [PROMPT]" >&2; exit 2; }
[ -f "$picture" ] || { echo "There is no file $picture." >&2; exit 2; }
for program in redis-server curl; do
    command -v "$program" >/dev/null || { echo "demo.sh needs $program." >&2; exit 2; }
done
python=${PYTHON:-$here/.venv/bin/python}
[ -x "$python" ] || make --no-print-directory -C "$here" .venv/.run
"$python" -c "import rq, psycopg" 2>/dev/null ||
    "$python" -m pip install -q -r "$here/requirements-scale.txt"

# -- a temporary folder and free ports, removed at the end ----------------------------------------
folder=$(mktemp -d "${TMPDIR:-/tmp}/kinora-demo.XXXXXX")
chmod 755 "$folder"
clients=()
redis=""
postgres=""
pg() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$postgres/$1" "${@:2}"; else "$postgres/$1" "${@:2}"; fi; }
begin() { # name, command ...: in its own process group, so that Ctrl-C reaches this script only
    echo "starting $1"
    (cd "$here" && exec "$python" -c "import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])" "${@:2}") \
        >"$folder/$1.log" 2>&1 &
}
stop() { # pids: SIGTERM, and after five seconds SIGKILL to their process groups
    local each
    for each; do kill "$each" 2>/dev/null || true; done
    for _ in $(seq 50); do
        kill -0 "$@" 2>/dev/null || break
        sleep 0.1
    done
    for each; do kill -KILL -- "-$each" "$each" 2>/dev/null || true; done
    wait "$@" 2>/dev/null || true
}
leave() { # the exit status: that of the first caller, even if a signal and an error coincide
    trap '' INT TERM
    trap - EXIT
    local each others=() # from `jobs`: a process may have started whose pid is not stored yet
    for each in $(jobs -p); do [ "$each" = "$redis" ] || others+=("$each"); done
    [ ${#others[@]} = 0 ] || stop "${others[@]}"
    [ -z "$redis" ] || stop "$redis"
    [ -z "$postgres" ] || (cd / && pg pg_ctl -D "$folder/pg/data" -m fast -w stop >/dev/null 2>&1) || true
    rm -rf "$folder"
    exit "$1"
}
trap 'leave $?' EXIT
trap 'echo "stopped" >&2; leave 130' INT
trap 'leave 143' TERM
fail() { # a message; also prints the logs
    echo "$1" >&2
    tail -n 20 "$folder"/*.log >&2
    exit 1
}

"$python" - "$here" "$picture" "$folder" <<'EOF_CHECK' || exit 2
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from errors import KinoraError
from media.images import store_picture

try:
    store_picture(Path(sys.argv[2]).read_bytes(), Path(sys.argv[3]))
except KinoraError as error:
    sys.exit(error.message)
EOF_CHECK

free_port() { "$python" -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"; }
redis_port=$(free_port) pg_port=$(free_port) port=$(free_port)

export KINORA_DATA_DIR="$folder/data" ARTIFACTS_URL="file://$folder/shared"
export REDIS_URL="redis://127.0.0.1:$redis_port/0" DATABASE_URL="sqlite:///$folder/kinora.db"
export GRADIO_SERVER_NAME=127.0.0.1 GRADIO_SERVER_PORT="$port" GRADIO_ANALYTICS_ENABLED=False
export GRADIO_TEMP_DIR="$folder/gradio" TMPDIR="$folder/tmp"
mkdir "$TMPDIR"

begin redis redis-server --port "$redis_port" --bind 127.0.0.1 --save "" --appendonly yes --dir "$folder"
redis=$!
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
    echo "PostgreSQL is not installed: using SQLite"
fi
begin worker "$python" app.py worker
clients+=("$!")
begin api "$python" app.py serve
clients+=("$!")

# -- one clip, through the API --------------------------------------------------------------------
url="http://127.0.0.1:$port"
call() { curl -sS --noproxy '*' -b "$folder/cookies" -c "$folder/cookies" "$@"; }
field() { "$python" -c "import json, sys; print(json.load(sys.stdin).get(sys.argv[1], ''))" "$1"; }
echo "waiting for $url"
for _ in $(seq 600); do
    call -f "$url/ready" >/dev/null 2>&1 && break
    for each in "$redis" "${clients[@]}"; do
        kill -0 "$each" 2>/dev/null || fail "a process ended:"
    done
    sleep 0.5
done
call -f "$url/ready" >/dev/null || fail "the server is not ready:"

answer=$(call "$url/api/generate" -F "image=@-;filename=picture" --form-string "prompt=$prompt" <"$picture")
job=$(field job_id <<<"$answer")
[ -n "$job" ] || fail "not accepted: $answer"
echo "accepted as $job; its events:"
call -N "$url/api/jobs/$job/events" | grep --line-buffered '^event:' | uniq -c
call -f "$url/api/result/$job" -o "$clip" || fail "there is no clip: $(call "$url/api/jobs/$job")"
echo "made $clip, $(wc -c <"$clip") bytes; its metadata:"
(cd "$here" && "$python" app.py verify "$clip") || true
