#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Change the code in hundreds of ways, one at a time, and show which changes no
# test notices. See doc/source/contributor/mutation.rst.
#
#     tools/mutation.sh [MODULE...]      such as sweep/breaker; all by default
#
# Needs cosmic-ray and what the unit tests need. Works in a copy of the tree.

set -eu

all='verdict reply sweep/breaker engine/engine engine/pacing sweep/evidence
    sweep/silence sweep/repeat outcomes/outcome outcomes/changes osc/exits'

# The tests of a module. They run once for each mutant, so they must be quick.
tests_of() {
    case $1 in
    verdict) echo verdict reply inventory ;;
    reply) echo reply verdict loop ;;
    engine/engine) echo engine repeat sweep ;;
    sweep/repeat) echo repeat.TimesTest repeat.UntilReachableTest agenda ;;
    outcomes/outcome) echo repeat.SeriesTest osc targets ;;
    outcomes/changes) echo watch shared ;;
    osc/exits) echo osc ;;
    sweep/evidence) echo evidence agenda ;;
    sweep/silence) echo silence agenda ;;
    *) basename "$1" ;;
    esac
}

unset CDPATH
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r troveclient_rpcping "$copy"
cd "$copy"
[ $# -gt 0 ] || eval "set -- $all"
for module in "$@"; do
    tests=
    for test in $(tests_of "$module"); do
        tests="$tests troveclient_rpcping.tests.unit.test_$test"
    done
    cat > session.toml <<EOC
[cosmic-ray]
module-path = "troveclient_rpcping/$module.py"
timeout = 60.0
excluded-modules = []
test-command = "python -m testtools.run --failfast$tests"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
# One opposite and one neighbour for each operator. No other arithmetic: it would
# change the "X | None" of an annotation.
exclude-operators = [
    "core/ReplaceBinaryOperator_(?!Add_Sub|Sub_Add|Mul_Div|Div_Mul)",
    "core/ReplaceComparisonOperator_(?!Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Lt_GtE|LtE_Gt|Gt_LtE|GtE_Lt|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In)",
]
EOC
    rm -f session.sqlite
    cosmic-ray init session.toml session.sqlite
    cr-filter-operators session.sqlite session.toml
    cosmic-ray exec session.toml session.sqlite
    echo "=== $module"
    cr-report --surviving-only --show-diff session.sqlite
done
