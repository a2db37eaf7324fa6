#!/usr/bin/env bash
# Run every test: lint, types, documentation, unit and functional tests.
#
#   tools/test.sh                  all suites
#   tools/test.sh unit types ...   only these suites
#
# The tests need no root. A test that needs a missing program, such as
# RabbitMQ, is skipped and says so. The last lines name each failed test and
# count the results.
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
    -r test-requirements.txt -r lint-requirements.txt \
    -r functional-requirements.txt -r doc/requirements.txt -e .

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
    fi
}

# tests NAME OPTION...: a suite of stestr, with its ten slowest tests.
tests() {
    mkdir "$results/$1"
    stestr --test-path "./troveclient_rpcping/tests/$1" \
        --repo-url "$results/$1" run "${@:2}"
    stestr --repo-url "$results/$1" last --subunit >"$results/$1.subunit"
    stestr --repo-url "$results/$1" slowest
}

for suite in "${suites[@]}"; do
    printf '\n== %s\n' "$suite"
    started=$SECONDS
    case $suite in
        lint)
            check lint ruff check .
            check hacking flake8
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
        unit) tests unit ;;
        functional)
            tests functional \
                --worker-file troveclient_rpcping/tests/functional/workers.yaml
            ;;
    esac
    printf -- '-- %s: %s s\n' "$suite" $((SECONDS - started))
done

printf '\n'
python3 tools/tally.py "$results"
