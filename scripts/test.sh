# shellcheck shell=bash disable=SC2034
# Runs all tests, the fast ones first: sourced by ./zpacs.
#
# A part is a function part_NAME; it reports by `count PASSED FAILED [SKIPPED]`. The last line of all
# is the sum. ZPACS_FUZZ_SECONDS: per fuzz target (30; 5 in CI).

PARTS=(lint unit asan integration crash fuzz e2e acceptance)
SUM_PASSED=0 SUM_FAILED=0 SUM_SKIPPED=0

count() { SUM_PASSED=$((SUM_PASSED + $1)) SUM_FAILED=$((SUM_FAILED + $2)) SUM_SKIPPED=$((SUM_SKIPPED + ${3:-0})); }

# count_line LOG EXIT-CODE: the last "N passed, N failed" of a log; a failure without one counts as one
count_line() {
    local line passed failed skipped
    line=$({ grep -aE '[0-9]+ (passed|failed|error|errors|skipped)' "$1" || true; } | tail -n 1)
    number() { { grep -oE "[0-9]+ $1" <<<"$line" || true; } | head -n 1 | cut -d' ' -f1; }
    passed=$(number passed) failed=$(number failed) skipped=$(number skipped)
    local errors
    errors=$(number error)
    failed=$((${failed:-0} + ${errors:-0}))
    if [ "$2" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
    count "${passed:-0}" "$failed" "${skipped:-0}"
}

# counted COMMAND...: runs it, shows it, counts it
counted() {
    local log code=0
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || code=$?
    count_line "$log" "$code"
    rm -f "$log"
}

# one NAME COMMAND...: a check that passes or fails as a whole; its output is shown when it fails
one() {
    local name=$1 log; shift
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then count 1 0; else
        count 0 1
        printf 'FAIL %s\n' "$name"
        tail -n 60 "$log"
    fi
    rm -f "$log"
}

# run_pytest FOLDER: a folder without tests (exit 5) is no failure
run_pytest() {
    "$PYTHON" -m pytest -q -p no:cacheprovider --durations=5 "$@" || { local code=$?; [ "$code" -eq 5 ] || return "$code"; }
}

test_python() {
    local venv=$ROOT/build/venv
    PYTHON=$venv/bin/python
    if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$(sha256sum <"$ROOT/tests/requirements.txt")" ]; then
        say 'Installing the test peers from PyPI'
        rm -rf "$venv"
        /usr/bin/python3 -m venv --system-site-packages "$venv"
        "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$ROOT/tests/requirements.txt"
        sha256sum <"$ROOT/tests/requirements.txt" >"$venv/stamp"
    fi
}

part_lint() { one 'make lint' make -s lint; }

part_unit() { counted make -s MODE=debug -j"$(nproc)" test; }

part_asan() {
    ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
        counted make -s MODE=asan -j"$(nproc)" test
}

# Two files at a time, each worker with a stack of its own: most of the time is waiting.
part_integration() { counted run_pytest -n 2 --dist loadfile tests/integration; }

part_crash() { counted run_pytest tests/crash; }

# Each target replays its committed corpus, then searches on for a short time.
part_fuzz() {
    one 'build of the fuzz targets' make -s MODE=fuzz -j"$(nproc)" fuzz
    counted scripts/run-fuzz-targets "${ZPACS_FUZZ_SECONDS:-$([ -n "${CI:-}" ] && echo 5 || echo 30)}" \
        build/fuzz/tests/fuzz/*/*_fuzz
}

# Not among PARTS, since it builds everything once more: lines of the parsers that are reached.
part_coverage() { counted make -s MODE=cov -j"$(nproc)" coverage; }

part_e2e() {
    if [ ! -d tests/e2e/node_modules ] || [ tests/e2e/package-lock.json -nt tests/e2e/node_modules ]; then
        (cd tests/e2e && npm ci --silent --ignore-scripts && touch node_modules)
    fi
    counted "$PYTHON" tests/integration/stack.py node tests/e2e/run.mjs
}

part_acceptance() {
    if [ ! -f ../shared/accept/accept.py ]; then say 'no ../shared/accept: skipped'; count 0 0 1; return; fi
    counted "$PYTHON" tests/integration/stack.py "$PYTHON" tests/acceptance/run.py
}

test_all() {
    local part start began=$SECONDS
    [ $# -gt 0 ] && PARTS=("$@")
    # Tests choose their own folders and ports: nothing of the operator's settings reaches them.
    unset ZPACS_DATA ZPACS_KEYS ZPACS_BIND ZPACS_HTTP_PORT ZPACS_DICOM_PORT ZPACS_AET ZPACS_HOSTS ZPACS_LOG_LEVEL
    install_packages runtime build test
    build_all
    test_python
    for part in "${PARTS[@]}"; do
        declare -F "part_$part" >/dev/null || die "test: no part '$part'; there are: ${PARTS[*]}"
        printf '\n==== %s (at %d s)\n' "$part" $((SECONDS - began))
        start=$SECONDS
        "part_$part"
        printf '==== %s took %d s; so far %d passed, %d failed, %d skipped\n' "$part" $((SECONDS - start)) \
            "$SUM_PASSED" "$SUM_FAILED" "$SUM_SKIPPED"
    done
    printf '\n%d passed, %d failed, %d skipped\n' "$SUM_PASSED" "$SUM_FAILED" "$SUM_SKIPPED"
    [ "$SUM_FAILED" -eq 0 ] && [ "$SUM_PASSED" -gt 0 ]
}
