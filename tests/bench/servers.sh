# shellcheck shell=bash disable=SC2153
# Processes of one system, and its PostgreSQL: sourced by systems.

wait_for() { # COMMAND...: until it succeeds
    local _
    for _ in $(seq 300); do
        if "$@" 2>/dev/null; then return; fi
        sleep 0.1
    done
    printf 'systems: %s: in vain: %s\n' "$NAME" "$*" >&2
    return 1
}

process_start() { # ROLE COMMAND...: in the background, its pid in <folder>/ROLE.pid
    local role=$1
    shift
    setsid "$@" </dev/null >"$FOLDER/$role.log" 2>&1 &
    printf '%d\n' $! >"$FOLDER/$role.pid"
}

process_stop() { # ROLE
    local pid file=$FOLDER/$1.pid
    [ -f "$file" ] || return 0
    pid=$(<"$file")
    if kill "$pid" 2>/dev/null; then wait_for process_is_gone "$pid" || kill -KILL "$pid"; fi
    rm -f "$file"
}

process_is_gone() { ! kill -0 "$1" 2>/dev/null; }

# ---- PostgreSQL: a cluster of each system's own, so that its CPU and memory are nobody else's -----
postgres_program() { # NAME ARGUMENT...
    local programs=(/usr/lib/postgresql/*/bin)
    runuser -u postgres -- "${programs[-1]}/$1" "${@:2}"
}

postgres_query() { postgres_program psql -qXAt -h 127.0.0.1 -p $((PORT + 40)) -d "${2:-bench}" -c "$1"; }

# While loading a commit waits for no sync; what is measured starts with the server's defaults again.
postgres_start() { # [LOADING]
    local folder=$FOLDER/pg
    if [ ! -d "$folder/data" ]; then
        mkdir -p "$folder"
        chown postgres "$folder"
        postgres_program initdb -D "$folder/data" -A trust -E UTF8 >/dev/null
        printf '%s\n' "port=$((PORT + 40))" "listen_addresses='127.0.0.1'" "unix_socket_directories=''" \
            'shared_buffers=512MB' 'max_wal_size=4GB' >>"$folder/data/postgresql.conf"
    fi
    postgres_program pg_ctl -D "$folder/data" status >/dev/null ||
        postgres_program pg_ctl -D "$folder/data" -l "$folder/log" -w start >/dev/null
    [ -n "$(postgres_query "select 1 from pg_database where datname = 'bench'" postgres)" ] ||
        postgres_query 'create database bench' postgres
    postgres_query "alter database bench set synchronous_commit = $([ -n "$1" ] && echo off || echo on)" postgres
    # What the planner must know, autovacuum finds out after a while only.
    if [ -z "$1" ]; then postgres_query 'vacuum analyze'; fi
}

postgres_stop() {
    [ ! -f "$FOLDER/pg/data/postmaster.pid" ] || postgres_program pg_ctl -D "$FOLDER/pg/data" -m fast -w stop >/dev/null
}
