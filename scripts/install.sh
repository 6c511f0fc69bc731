# shellcheck shell=bash
# Installs the Debian packages of scripts/packages: sourced by ./zpacs.

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; return; fi
    command -v sudo >/dev/null || die "this step needs root, and sudo is not there: $*"
    sudo "$@"
}

# packages_of SECTION...: the names, without those whose command is there already
packages_of() {
    local section='' line name rest
    while read -r line; do
        line=${line%%#*}
        case $line in
        '') continue ;;
        '['*']'*) section=${line#[}; section=${section%%]*}; continue ;;
        esac
        [[ " $* " == *" $section "* ]] || continue
        read -r name rest <<<"$line"
        if [[ $rest =~ command=([^ ]+) ]] && command -v "${BASH_REMATCH[1]}" >/dev/null; then continue; fi
        printf '%s\n' "$name"
    done <"$ROOT/scripts/packages"
}

packages_missing() {
    local name
    local -A present=()
    while read -r name; do present[$name]=1; done < <(
        dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
    for name in $(packages_of "$@"); do
        [ -n "${present[$name]:-}" ] || printf '%s\n' "$name"
    done
}

# progress TOTAL: one changing line on a terminal, now and then a line in a log
progress() {
    local total=$1 count=0 line
    while IFS= read -r line; do
        count=$((count + 1))
        if [ -t 1 ]; then
            printf '\r\033[K  [%d/%s] %.60s' "$count" "$total" "$line"
        elif [ $((count % 20)) -eq 0 ]; then
            printf '  [%d/%s] %s\n' "$count" "$total" "$line"
        fi
    done
    [ ! -t 1 ] || printf '\r\033[K'
    [ "$count" -eq 0 ] || printf '  %d of %s done\n' "$count" "$total"
}

# No daemon is started by the packages of this run: nginx and supervisor run from our own files.
POLICY=/usr/sbin/policy-rc.d
policy_forbid() {
    as_root sh -c "[ ! -e $POLICY ] || [ -e $POLICY.zpacs-saved ] || mv $POLICY $POLICY.zpacs-saved
        printf '#!/bin/sh\nexit 101\n' >$POLICY && chmod 755 $POLICY"
}
policy_restore() {
    as_root sh -c "rm -f $POLICY; [ ! -e $POLICY.zpacs-saved ] || mv $POLICY.zpacs-saved $POLICY"
}

install_packages() {
    local missing total log
    mapfile -t missing < <(packages_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ -r /etc/debian_version ] || die 'packages are missing and this is not Debian: see scripts/packages'
    say "Installing ${#missing[@]} Debian packages: ${missing[*]}"
    log=$(mktemp)
    local -a apt=(env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -o DPkg::Lock::Timeout=300 -y -q)
    trap 'policy_restore; rm -f "$log"' EXIT
    policy_forbid
    as_root "${apt[@]}" update >"$log" 2>&1 || { cat "$log" >&2; die 'apt-get update failed'; }
    # Each package shows twice: when it was fetched and when it was set up.
    total=$({ "${apt[@]}" -s --no-install-recommends install "${missing[@]}" || true; } | grep -c '^Inst ' || true)
    if ! as_root "${apt[@]}" --no-install-recommends install "${missing[@]}" 2>&1 | tee "$log" |
        sed -un 's/^Get:[0-9]* [^ ]* [^ ]* [^ ]* \([^ ]*\).*/fetched \1/p; s/^Setting up \([^ ]*\).*/set up \1/p' |
        progress $((total * 2)); then
        tail -n 20 "$log" >&2
        die 'apt-get install failed'
    fi
    policy_restore
    rm -f "$log"
    trap - EXIT
}
