#!/bin/bash
# What runs in a test machine, in this checkout; run.py reads what it prints.  TESTS says which tests.
#
# Each part begins with a line "## NAME" and ends with "## NAME STATUS".
set -o pipefail
export PATH=$PWD/.venv/bin:$PATH NODE_PATH=$PWD/build/node/node_modules HOME=/root TERM=dumb PYTHONUNBUFFERED=1

part() {
    local name=$1 status=0
    shift
    echo "## $name"
    "$@" 2>&1 | cat || status=$? # no terminal: nothing is drawn, no line is cut
    echo "## $name $status"
    return "$status"
}

failed=0
part demo sockwarden demo || failed=1
part units bash tests/e2e/vm/units.sh || failed=1
# The demo was shown above.
part tests pytest -v --tb=short -p no:cacheprovider -m kernel --deselect tests/e2e/test_demo.py \
    $TESTS || failed=1
[ "$failed" -eq 0 ] || dmesg --level=emerg,alert,crit,err,warn | tail -n 20
exit "$failed"
