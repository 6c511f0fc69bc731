# shellcheck shell=bash disable=SC2034,SC2016,SC2153
# zpacs as an operator runs it, and our nginx before a peer: sourced by systems.

# zpacs_run VERB...: ./zpacs with the ports and the folder of that system
zpacs_run() {
    local -a more=()
    if [[ $NAME == *-pg ]]; then
        more=(ZPACS_INDEX_DATABASE="postgresql://postgres@127.0.0.1:$((PORT + 40))/bench")
    fi
    env ZPACS_DATA="$FOLDER/data" ZPACS_HTTP_PORT="$PORT" ZPACS_DICOM_PORT=$((PORT + 32)) "${more[@]}" "$ROOT/zpacs" "$@"
}

zpacs_start() { zpacs_run up --detach --no-build; } # the same for loading
zpacs_stop() { zpacs_run down; }

zpacs_target() {
    target "$(<"$FOLDER/data/run/token")" null 32 ZPACS "$(<"$FOLDER/data/run/supervisord.pid")"
}

# target TOKEN BARE OFFSET AET PID...: what the load generators must know; web addresses that are
# missing are null. CPU and memory are those of the processes and all that they started.
target() {
    local token=$1 bare=$2 dicom=$((PORT + $3)) aet=$4 web=null auth=null pids=$5
    if [ -n "$token" ]; then
        web="\"http://127.0.0.1:$PORT/dicom-web\""
        auth="\"Authorization: Bearer $token\""
    fi
    if [[ $NAME == *-pg ]]; then pids+=", $(head -n 1 "$FOLDER/pg/data/postmaster.pid")"; fi
    printf '{"name": "%s", "host": "127.0.0.1", "port": %d, "aet": "%s", "web": %s, "bare": %s, "auth": %s, "pids": [%s]}\n' \
        "$NAME" "$dicom" "$aet" "$web" "$bare" "$auth" "$pids"
}

# Our nginx with our configuration, token check included, before whatever listens on the next port:
# rendered by the stack's own code.
proxy_start() (
    say() { printf '%s\n' "$*"; }
    die() { printf 'systems: %s\n' "$*" >&2; exit 1; }
    # shellcheck source=scripts/settings.sh
    . "$ROOT/scripts/settings.sh"
    # shellcheck source=scripts/stack.sh
    . "$ROOT/scripts/stack.sh"
    export ZPACS_DATA=$FOLDER/proxy ZPACS_HTTP_PORT=$PORT
    settings_load
    PORT_STOW=$PORT_DICOMWEB
    stack_folders
    stack_programs
    secret_make "$RUN/token"
    secret_make "$RUN/gate"
    render_nginx
    # its log must be a file of its own user: it opens /dev/stdout
    process_start proxy setpriv --reuid="$SERVICE_USER" --regid="$SERVICE_USER" --init-groups \
        sh -c 'exec "$1" "$2" >"$0" 2>&1' "$LOGS/nginx.log" "$PROGRAMS/scripts/run-nginx" "$RUN"
    wait_for curl -sf -o /dev/null "http://127.0.0.1:$PORT/healthz"
)

proxy_token() { cat "$FOLDER/proxy/run/token"; }
