#!/usr/bin/env bash
# Run every test: lint, types, unit and functional tests, the documentation.
#
#   tools/test.sh                  all of it
#   tools/test.sh unit types ...   only these suites
#
# Needs no root and no broker; what needs RabbitMQ says so, and is skipped
# without it. The last line counts what passed, failed and was skipped.
set -uo pipefail
# shellcheck source=tools/environment.sh
. "$(dirname "$0")/environment.sh"

suites=(lint format types docs unit functional)
for suite in "$@"; do
    case " ${suites[*]} " in
        *" $suite "*) ;;
        *)
            say "usage: tools/test.sh [SUITE...], of: ${suites[*]}"
            exit 2
            ;;
    esac
done
[ $# -eq 0 ] || suites=("$@")

environment .venv-test 'this plugin and the tools of its tests' \
    -r test-requirements.txt -r doc/requirements.txt -e .

results=$(mktemp -d) || die 'no temporary folder'
trap 'rm -rf "$results"' EXIT

# check NAME COMMAND...: a suite that is one test.
check() {
    local name=$1
    shift
    if "$@"; then
        printf 'pass\n' >"$results/$name.check"
    else
        printf 'fail\n' >"$results/$name.check"
        say "FAILED: $name ($*)"
    fi
}

# tests NAME: a suite of stestr.
tests() {
    mkdir "$results/$1"
    # Not all cores: each worker of the functional tests has a sandbox.
    stestr --test-path "./troveclient_rpcping/tests/$1" \
        --repo-url "$results/$1" run --concurrency 2 || say "FAILED: $1"
    stestr --repo-url "$results/$1" last --subunit >"$results/$1.subunit"
}

# again NAME: run the few that failed of a suite once more, one by one.
again() {
    local count
    # It exits with 1 if anything failed.
    count=$({ stestr --repo-url "$results/$1" failing --list || true; } \
        2>/dev/null | grep -c '^troveclient_rpcping') || return 0
    [ "$count" -le 3 ] || return 0
    say "running again what failed of $1 ($count)"
    stestr --test-path "./troveclient_rpcping/tests/$1" \
        --repo-url "$results/$1" run --failing --serial
    stestr --repo-url "$results/$1" last --subunit >"$results/$1.again"
}

for suite in "${suites[@]}"; do
    printf '\n== %s\n' "$suite"
    case $suite in
        lint)
            check lint ruff check .
            if command -v shellcheck >/dev/null; then
                check shell shellcheck -x tools/*.sh .ci/run
            else
                say 'skipped: shellcheck is not installed'
                printf 'skip\n' >"$results/shell.check"
            fi
            ;;
        format) check format ruff format --check . ;;
        types) check types mypy ;;
        docs)
            check docs sphinx-build -q -W -b html doc/source doc/build/html
            check man sphinx-build -q -W -b man doc/source doc/build/man
            ;;
        unit | functional)
            tests "$suite"
            # Dozens of servers on a machine that is busy with other work: one
            # may be starved. Who passes only now is named below.
            again "$suite"
            ;;
    esac
done

printf '\n'
python3 tools/tally.py "$results"
