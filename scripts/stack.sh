# shellcheck shell=bash disable=SC2016
# Starts, ends and shows the processes of one data folder: sourced by ./zpacs.
#
#   <data>/keys/               CURVE keys of the services
#   <data>/logs/NAME.log       one log per process, rotated
#   <data>/run/lock            held by supervisord as long as it lives
#   <data>/run/token, gate     secrets, 0600
#   <data>/run/nginx/          nginx's configuration, rendered from reverse-proxy/
#   <data>/run/endpoints.json  for programs: addresses and token

stack_is_running() {
    [ -e "$RUN/lock" ] && ! flock --nonblock --shared "$RUN/lock" true 2>/dev/null
}

secret_make() { # FILE: 32 random bytes as hex, made once
    run_as_service test -s "$1" || head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' | put "$1"
}
secret() { run_as_service cat "$RUN/$1"; }

# ---- what is written before a start -------------------------------------------------------------

# Folders; as root also the user that everything runs as.
stack_folders() {
    if [ -n "$AS_ROOT" ] && ! id "$SERVICE_USER" >/dev/null 2>&1; then
        say "Making the system user $SERVICE_USER"
        useradd --system --user-group --no-create-home --home-dir /nonexistent \
            --shell /usr/sbin/nologin "$SERVICE_USER"
    fi
    if [ ! -d "$DATA" ]; then
        mkdir -p "$DATA"
        if [ -n "$AS_ROOT" ]; then chown "$SERVICE_USER:$SERVICE_USER" "$DATA"; fi
        chmod 700 "$DATA"
    elif [ -n "$AS_ROOT" ] && [ -z "$(ls -A "$DATA")" ]; then # a mounted, empty volume
        chown "$SERVICE_USER:$SERVICE_USER" "$DATA"
    fi
    run_as_service sh -c 'umask 077; mkdir -p "$@"' mkdir "$RUN/nginx/snippets" "$RUN/nginx-temp" "$LOGS" "$KEYS" ||
        die "$(run_as_service id -un) cannot write to $DATA: open its parent folders (chmod o+x), give it to that user, or choose another ZPACS_DATA"
}

# The programs must be reachable by the user that they run as; a checkout in root's home is not.
stack_programs() {
    PROGRAMS=$ROOT
    if run_as_service test -x "$ROOT/build/release/bin/zpacs-index" &&
        run_as_service test -r "$ROOT/build/ohif/dist/index.html"; then return; fi
    PROGRAMS=$DATA/program
    local -a yaml # without what else lies in the folders of the services
    mapfile -t yaml < <(cd "$ROOT" && ls services/*/*.yaml)
    run_as_service sh -c 'rm -rf "$1" && mkdir -p "$1"' mkdir "$PROGRAMS"
    tar -C "$ROOT" -cf - build/release/bin build/ohif/dist scripts/run-nginx "${yaml[@]}" |
        run_as_service tar -C "$PROGRAMS" -xf -
}

# host_line HOST SEEN: one row of the map. A target in absolute form has a host of its own; $host is
# that one's name, or else the name in Host, and only a request in which they agree is ours.
host_line() {
    local name=$1
    if [[ $name =~ ^(.*[^:]):[0-9]+$ ]]; then name=${BASH_REMATCH[1]}; fi
    name=${name%.}
    printf '"%s %s" "%s";\n' "${name,,}" "${1,,}" "$2"
}

# Every Host that means us, and how services shall see it. Some clients (dicomweb-client) leave the
# port out of their Host; addresses in answers need it.
host_names() {
    local host suffix=:$PORT
    [ "$PORT" -ne 80 ] || suffix=
    for host in 127.0.0.1 localhost '[::1]' "$REACH"; do
        host_line "$host:$PORT" "$host$suffix"
        host_line "$host" "$host$suffix"
    done
    # Other names as they stand: 80 and 443 of a proxy before us are not written in a Host.
    for host in ${HOSTS//,/ }; do
        host_line "$host" "$host"
        [[ $host =~ [^:]:[0-9]+$ ]] || host_line "$host:$PORT" "$host$suffix"
    done
}

render_nginx() {
    local file listen token gate workers
    listen=$([[ $BIND == *:* ]] && echo "[$BIND]:$PORT" || echo "$BIND:$PORT")
    token=$(secret token)
    gate=$(secret gate)
    workers=$(nproc)
    for file in nginx.conf.in mime.types snippets/answer.conf snippets/guard.conf snippets/page.conf \
        snippets/public.conf snippets/upstream.conf; do
        sed -e "s|@RUN@|$RUN|g" -e "s|@OHIF@|$PROGRAMS/build/ohif/dist|g" -e "s|@LISTEN@|        listen $listen;|g" \
            -e "s|@PORT@|$PORT|g" -e "s|@PORT_DICOMWEB@|$PORT_DICOMWEB|g" \
            -e "s|@PORT_STOW@|$PORT_STOW|g" -e "s|@WORKERS@|$((workers > 4 ? 4 : workers))|g" \
            "$ROOT/reverse-proxy/$file" | put "$RUN/nginx/${file%.in}"
    done
    {
        echo 'map "$host $http_host" $host_own {'
        echo '    default "";'
        host_names | sort -u -k1,2 | sed 's/^/    /'
        echo '}'
    } | put "$RUN/nginx/hosts.conf"
    {
        printf 'map $http_authorization $token_bearer {\n    default 0;\n    "Bearer %s" 1;\n}\n' "$token"
        printf 'map $cookie_zpacs_%s $token_cookie {\n    default 0;\n    "%s" 1;\n}\n' "$PORT" "$token"
        printf 'map $arg_token $token_link {\n    default 0;\n    "%s" 1;\n}\n' "$token"
        printf 'map "" $gate_secret {\n    default "%s";\n}\n' "$gate"
    } | put "$RUN/nginx/secrets.conf"
}

# One program section: NAME PRIORITY COMMAND
render_program() {
    cat <<TEXT

[program:$1]
priority=$2
command=/usr/bin/setpriv --pdeathsig TERM $3
directory=$RUN
autostart=true
; whatever ends it, it comes back at once, however often; only a mistake in its configuration (78) would end
; it again. A second of running before it counts as started would make each quick end wait longer than the last.
autorestart=unexpected
exitcodes=78
startsecs=0
startretries=1000000
stopsignal=$([ "$1" = nginx ] && echo QUIT || echo TERM) ; TERM would make nginx drop what it passes on
stopwaitsecs=40 ; drain_ms and worker_shutdown_timeout are 30 s
killasgroup=true
stdout_logfile=$LOGS/$1.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=5
redirect_stderr=true
TEXT
}

# With replicas of the index, callers get the list of all; the index of this stack binds the first.
# The database, which may hold a password, is known to the index alone.
index_environment() {
    local name
    for name in ZPACS_INDEX_ENDPOINT ZPACS_INDEX_CHANGES_ENDPOINT; do
        [ -z "${!name-}" ] || printf ',%s="%s"' "$name" "${!name%%,*}"
    done
    for name in ZPACS_INDEX_DATABASE ZPACS_INDEX_REPLICA PGPASSFILE; do
        [ -z "${!name-}" ] || printf ',%s="%s"' "$name" "${!name//%/%%}"
    done
}

render_supervisor() {
    local bin=$PROGRAMS/build/release/bin name config priority=10
    {
        cat <<TEXT
[supervisord]
nodaemon=true
silent=true
pidfile=$RUN/supervisord.pid
logfile=$LOGS/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
childlogdir=$LOGS
identifier=zpacs
umask=077

[unix_http_server]
file=$RUN/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://$RUN/supervisor.sock
TEXT
        for name in "${SERVICES[@]}"; do
            config=$PROGRAMS/services/$name/$name.yaml
            render_program "$name" "$priority" "$bin/zpacs-$name$([ ! -f "$config" ] || echo " --config $config")"
            printf 'environment=ZPACS_ADMIN="127.0.0.1:%s"' "${ADMIN[$name]}"
            [ "$name" != index ] || index_environment
            printf '\n'
            priority=$((priority + 10))
        done
        render_program nginx 90 "$PROGRAMS/scripts/run-nginx $RUN"
    } | put "$RUN/supervisord.conf"
}

render_settings() { # for status and down, without the environment of up
    local name value
    for name in BIND HTTP_PORT DICOM_PORT AET HOSTS; do
        case $name in HTTP_PORT) value=$PORT ;; *) value=${!name} ;; esac
        printf 'ZPACS_%s=%s\n' "$name" "$value"
    done | put "$RUN/settings"
}

render_endpoints() {
    printf '{"http": "%s", "dicom": {"host": "%s", "port": %s, "aet": "%s"}, "token": "%s"}\n' \
        "$WEB" "$(tr -d '[]' <<<"$REACH")" "$DICOM_PORT" "$AET" "$(secret token)" | put "$RUN/endpoints.json"
}

stack_render() {
    secret_make "$RUN/token"
    secret_make "$RUN/gate"
    render_nginx
    render_supervisor
    render_settings
    run_as_service "$PROGRAMS/build/release/bin/zpacs-cli" keys "${SERVICES[@]}" cli >/dev/null ||
        die 'the keys of the services could not be made'
    run_as_service "$PROGRAMS/scripts/run-nginx" "$RUN" -t -q >/dev/null || die 'nginx refuses its configuration'
}

# ---- the processes ------------------------------------------------------------------------------

control() { run_as_service supervisorctl -c "$RUN/supervisord.conf" "$@"; }

health() { # NAME [CURL-OPTION...]
    local url=$WEB/healthz
    [ "$1" = nginx ] || url=http://127.0.0.1:${ADMIN[$1]}/healthz
    shift
    curl -sS --noproxy '*' --max-time 3 "$@" "$url" 2>/dev/null
}

healthy() { health "$1" --fail -o /dev/null; } # NAME

illness() { # NAME: what the service itself says
    health "$1" | sed -nE 's/.*"detail":"([^"]*)".*/: \1/p' || true
}

# supervisord gets the lock as descriptor 3: it keeps it as long as it lives, its children do not.
# Its words about a log that cannot be written must go somewhere even when the disk is full, or it
# dies of them: tee goes on without its file.
stack_start() {
    local -a ports=()
    if [ "$DICOM_PORT" -lt 1024 ] || [ "$PORT" -lt 1024 ]; then
        ports=("--inh-caps=-all,+net_bind_service" "--ambient-caps=-all,+net_bind_service")
    fi
    local -a user=()
    if [ -n "$AS_ROOT" ]; then
        user=(setpriv --reuid="$SERVICE_USER" --regid="$SERVICE_USER" --init-groups --no-new-privs "${ports[@]}")
    fi
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME="$RUN" TMPDIR="$RUN" \
        ZPACS_DATA="$DATA" ZPACS_KEYS="$KEYS" ZPACS_BIND="$BIND" ZPACS_AET="$AET" \
        ZPACS_DICOM_PORT="$DICOM_PORT" ZPACS_HTTP_PORT="$PORT" \
        ZPACS_DICOMWEB_ADDRESS="127.0.0.1:$PORT_DICOMWEB" ZPACS_STOW_ADDRESS="127.0.0.1:$PORT_STOW" \
        ZPACS_GATE_SECRET_FILE="$RUN/gate" \
        ${ZPACS_LOG_LEVEL:+ZPACS_LOG_LEVEL="$ZPACS_LOG_LEVEL"} \
        ${ZPACS_INDEX_ENDPOINT:+ZPACS_INDEX_ENDPOINT="$ZPACS_INDEX_ENDPOINT"} \
        ${ZPACS_INDEX_CHANGES_ENDPOINT:+ZPACS_INDEX_CHANGES_ENDPOINT="$ZPACS_INDEX_CHANGES_ENDPOINT"} \
        ${ZPACS_SPACE_LOW:+ZPACS_SPACE_LOW="$ZPACS_SPACE_LOW"} \
        ${ZPACS_PACK_OPEN_SECONDS:+ZPACS_PACK_OPEN_SECONDS="$ZPACS_PACK_OPEN_SECONDS"} \
        ${ZPACS_COMPACT_AFTER_SECONDS:+ZPACS_COMPACT_AFTER_SECONDS="$ZPACS_COMPACT_AFTER_SECONDS"} \
        ${ZPACS_RETIRE_GRACE_SECONDS:+ZPACS_RETIRE_GRACE_SECONDS="$ZPACS_RETIRE_GRACE_SECONDS"} \
        ${ZPACS_SPACE_HIGH:+ZPACS_SPACE_HIGH="$ZPACS_SPACE_HIGH"} \
        ${ZPACS_METADATA_CACHE_BYTES:+ZPACS_METADATA_CACHE_BYTES="$ZPACS_METADATA_CACHE_BYTES"} \
        setsid "${user[@]}" bash -c 'exec "$@" </dev/null > >(exec tee -p "$0" >/dev/null 2>&1 3<&-) 2>&1' "$LOGS/supervisord.out" \
        /usr/bin/supervisord -c "$RUN/supervisord.conf" &
    SUPERVISORD=$!
}

stack_wait() { # SECONDS: until all are healthy; fails with what is not
    local end=$((SECONDS + $1)) name waiting
    while :; do
        waiting=
        for name in "${SERVICES[@]}" nginx; do healthy "$name" || waiting+=" $name"; done
        [ -n "$waiting" ] || return 0
        kill -0 "$SUPERVISORD" 2>/dev/null || { WAITING=" supervisord"; return 1; }
        [ $SECONDS -lt "$end" ] || { WAITING=$waiting; return 1; }
        sleep 0.2
    done
}

stack_addresses() {
    say ''
    say "  Open       $WEB/start?token=$(secret token)"
    say "  DICOMweb   $WEB/dicom-web/     (Authorization: Bearer, the token above)"
    say "  DICOM      $REACH port $DICOM_PORT, AE title $AET"
    say "  Data       $DATA"
    say "  Programs   $RUN/endpoints.json"
    say ''
}

stack_up() {
    local detach='' build=1 name
    while [ $# -gt 0 ]; do
        case $1 in
        --detach | -d) detach=1 ;;
        --no-build) build= ;; # the tests have built already
        *) die "up: unknown option '$1'" ;;
        esac
        shift
    done
    if stack_is_running; then
        say "zpacs is running on $DATA already; nothing was changed."
        stack_addresses
        return 0
    fi
    if [ -n "$build" ]; then
        install_packages runtime build
        build_all
    fi
    stack_folders
    run_as_service touch "$RUN/lock"
    exec 3<"$RUN/lock"
    flock --nonblock 3 || die "another 'up' on $DATA is under way"
    stack_programs
    stack_render
    case $BIND in
    127.* | ::1) ;;
    *) say "NOTE: HTTP (not encrypted) and DICOM listen on $BIND, open to its network." ;;
    esac
    say "Starting on $DATA"
    stack_start
    exec 3>&-
    trap 'say ""; stack_down; exit 130' INT TERM
    if ! stack_wait "${ZPACS_START_SECONDS:-60}"; then
        for name in $WAITING; do
            printf '%s is not healthy; the end of its log:\n' "$name" >&2
            run_as_service sh -c 'tail -n 5 "$1".* >&2' tail "$LOGS/$name" || true
        done
        stack_down
        die "start failed:$WAITING; logs are in $LOGS"
    fi
    render_endpoints
    stack_addresses
    if [ -n "$detach" ]; then
        trap - INT TERM
        say "It runs in the background: 'zpacs status', 'zpacs logs', 'zpacs down'."
        return 0
    fi
    say 'Ctrl-C ends it.'
    wait "$SUPERVISORD" || true
}

stack_down() {
    if ! stack_is_running; then
        say "zpacs is not running on $DATA."
        return 0
    fi
    say 'Ending zpacs ...'
    # supervisord ends one after the other. The doors close at the same moment, and what is under way at each has
    # its 30 s; the index, whom they ask, stays until they are through.
    local name
    local -a doors=()
    for name in nginx dicomweb dimse; do
        control stop "$name" >/dev/null 2>&1 &
        doors+=($!)
    done
    wait "${doors[@]}" || true
    control shutdown >/dev/null 2>&1 || run_as_service sh -c 'kill -TERM "$(cat "$1")"' kill "$RUN/supervisord.pid" 2>/dev/null || true
    flock --timeout 60 --shared "$RUN/lock" true || die 'it did not end; see zpacs logs supervisord'
    run_as_service rm -f "$RUN/endpoints.json" "$RUN/settings"
    say 'Ended.'
}

stack_status() {
    if ! stack_is_running; then
        say "zpacs is not running on $DATA."
        return 3
    fi
    local name state rest figures refused bad=0
    while read -r name state rest; do
        if healthy "$name"; then rest+=', healthy'; else rest+=", NOT healthy$(illness "$name")"; bad=1; fi
        printf '  %-10s %-9s %s\n' "$name" "$state" "$rest"
    done < <(control status || true)
    # {"name":"zpacs",...,"patients":1,"studies":2,...}: the figures, without those of single sources
    figures=$(curl -fsS --noproxy '*' --max-time 5 -H "Authorization: Bearer $(secret token)" "$WEB/api/system" 2>/dev/null |
        sed 's/"sources":.*//' | tr ',' '\n' | sed -nE 's/^"([a-z_]+)":([0-9]+)$/\2 \1/p' | tr '_' ' ' | paste -sd, | sed 's/,/, /g') || true
    printf '\n  %s\n' "${figures:-no figures: /api/system does not answer}"
    refused=$(refused_now | sed -nE 's/^\{"last_hour":([0-9]+),.*/\1/p') || true
    case ${refused:-0} in
    0) ;;
    1) say '  1 association refused in the last hour: zpacs refused' ;;
    *) say "  $refused associations refused in the last hour: zpacs refused" ;;
    esac
    stack_addresses
    return $bad
}

# refused_now: what dimse tells of those it refused, as JSON (services/dimse/door/refused.h)
refused_now() {
    curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:${ADMIN[dimse]}/refused" 2>/dev/null
}

stack_refused() {
    if ! stack_is_running; then
        say "zpacs is not running on $DATA."
        return 3
    fi
    local refused
    refused=$(refused_now) || die "dimse does not answer; see 'zpacs logs dimse'"
    "$ROOT/scripts/show-refused" <<<"$refused"
}

stack_logs() {
    local follow=
    if [ "${1:-}" = -f ]; then follow=1; shift; fi
    local -a files=("$LOGS/${1:-*}.log")
    [ $# -gt 0 ] || mapfile -t files < <(ls "$LOGS"/*.log)
    [ -r "${files[0]}" ] || die "no log '${1:-}' in $LOGS"
    run_as_service tail -n 200 ${follow:+-F} "${files[@]}"
}
