# shellcheck shell=bash disable=SC2034,SC2016
# The settings of one stack, from the environment: sourced by ./zpacs.

SERVICES=(index dimse dicomweb)
SERVICE_USER=zpacs # when started by root

settings_load() {
    if [ "$(id -u)" -eq 0 ]; then AS_ROOT=1; else AS_ROOT=; fi
    local home=${HOME:-/} name
    DATA=${ZPACS_DATA:-$([ -n "$AS_ROOT" ] && echo /var/lib/zpacs || echo "$home/.local/share/zpacs")}
    DATA=$(readlink -m "$DATA")
    RUN=$DATA/run
    LOGS=$DATA/logs
    KEYS=$DATA/keys
    # A stack that runs already has its settings beside it: status and down need no environment.
    if [ -r "$RUN/settings" ] && stack_is_running; then
        local value
        while IFS='=' read -r name value; do
            case $name in
            ZPACS_BIND | ZPACS_HTTP_PORT | ZPACS_DICOM_PORT | ZPACS_AET | ZPACS_HOSTS) printf -v "$name" %s "$value" ;;
            esac
        done <"$RUN/settings"
    fi
    BIND=${ZPACS_BIND:-127.0.0.1}
    PORT=${ZPACS_HTTP_PORT:-30080}
    DICOM_PORT=${ZPACS_DICOM_PORT:-11112}
    AET=${ZPACS_AET:-ZPACS}
    HOSTS=${ZPACS_HOSTS:-}
    [[ $PORT =~ ^[0-9]+$ && $PORT -ge 1 && $PORT -le 65500 ]] || die "ZPACS_HTTP_PORT: '$PORT' is no port"
    [[ $DICOM_PORT =~ ^[0-9]+$ && $DICOM_PORT -ge 1 && $DICOM_PORT -le 65535 ]] ||
        die "ZPACS_DICOM_PORT: '$DICOM_PORT' is no port"
    [[ $AET =~ ^[A-Za-z0-9_.-]([A-Za-z0-9_. -]{0,14}[A-Za-z0-9_.-])?$ ]] ||
        die "ZPACS_AET: '$AET' is no AE title of 1 to 16 letters, digits, '_', '-', '.'"
    [[ $BIND =~ ^[0-9.]+$ || $BIND =~ ^\[?[0-9a-fA-F:]+\]?$ ]] || die "ZPACS_BIND: '$BIND' is no address"
    [[ $HOSTS =~ ^[]A-Za-z0-9.,:[_-]*$ ]] || die "ZPACS_HOSTS: names separated by commas, not '$HOSTS'"
    [[ $DATA =~ ^/[A-Za-z0-9_./@+-]*$ ]] || die "ZPACS_DATA: only letters, digits and _ . / @ + - please, not '$DATA'"
    for name in ZPACS_INDEX_DATABASE ZPACS_INDEX_REPLICA PGPASSFILE; do # they stand in quotes of supervisord's
        [[ ! ${!name-} =~ [[:space:]\"] ]] || die "$name: no blanks and no quotes please (in a URI they are %20 and %22)"
    done
    [ "${#RUN}" -le 85 ] || die "ZPACS_DATA: '$DATA' is too long for the sockets in it (85 bytes)"
    BIND=${BIND#[}; BIND=${BIND%]}

    # Everything inside follows the one port, so that two stacks stand side by side.
    PORT_DICOMWEB=$((PORT + 1))
    PORT_STOW=$((PORT + 2))
    declare -gA ADMIN=([index]=$((PORT + 11)) [dimse]=$((PORT + 12)) [dicomweb]=$((PORT + 13)))

    case $BIND in
    0.0.0.0) REACH=127.0.0.1 ;;
    ::) REACH='[::1]' ;;
    *:*) REACH="[$BIND]" ;;
    *) REACH=$BIND ;;
    esac
    WEB=http://$REACH:$PORT

    # The command-line program reads the same names.
    export ZPACS_DATA=$DATA ZPACS_KEYS=$KEYS
}

# run_as_service [--with-files] COMMAND...: never with root's rights. With --with-files (import,
# export) root's right to read and write files stays, since the operator's files are not zpacs's.
run_as_service() {
    local -a with=()
    if [ "${1:-}" = --with-files ]; then
        shift
        with=("--inh-caps=-all,+dac_override" "--ambient-caps=-all,+dac_override")
    fi
    if [ -z "$AS_ROOT" ]; then "$@"; return; fi
    id "$SERVICE_USER" >/dev/null 2>&1 || die "no user $SERVICE_USER yet: run 'zpacs up' first"
    setpriv --reuid="$SERVICE_USER" --regid="$SERVICE_USER" --init-groups "${with[@]}" "$@"
}

# put FILE: standard input becomes a private file of the service user. Below <data> all writing is
# done as that user: root must not follow a link that a broken service has laid there.
put() { run_as_service sh -c 'umask 077; cat >"$1"' put "$1"; }
