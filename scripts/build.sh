# shellcheck shell=bash
# Builds: sourced by ./zpacs.

# build_make MODE TARGET...: make with a count of the files done; errors are shown in full
build_make() {
    local mode=$1 total log; shift
    total=$(make -n MODE="$mode" "$@" 2>/dev/null | grep -cE '^echo "(CC|AR|LD|GEN) ' || true)
    [ "$total" -gt 0 ] || { make -s MODE="$mode" "$@" >/dev/null; return; }
    say "Building ($mode)"
    log=$(mktemp)
    if ! make -j"${ZPACS_JOBS:-$(nproc)}" MODE="$mode" "$@" 2>&1 | tee "$log" |
        sed -un '/^\(CC\|AR\|LD\|GEN\) /p' | progress "$total"; then
        grep -vE '^(CC|AR|LD|GEN) ' "$log" >&2 || true
        rm -f "$log"
        die "the build ($mode) failed"
    fi
    grep -vE '^(CC|AR|LD|GEN|make)( |:|\[)' "$log" >&2 || true
    rm -f "$log"
}

build_all() {
    build_make release all
    "$ROOT/services/ohif/build.sh"
}
