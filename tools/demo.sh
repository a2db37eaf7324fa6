#!/usr/bin/env bash
# Start a Trove control plane on this machine, and ping its guests.
#
#   tools/demo.sh          show a tour, then stop the control plane
#   tools/demo.sh --keep   show a tour, and leave the control plane running
set -euo pipefail
# shellcheck source=tools/environment.sh
. "$(dirname "$0")/environment.sh"

case "${*:-}" in
    '' | --keep) ;;
    -h | --help)
        sed -n '2,5s/^# \{0,1\}//p' "$0"
        exit
        ;;
    *)
        say 'usage: tools/demo.sh [--keep]'
        exit 2
        ;;
esac

environment .venv-demo 'the openstack client and this plugin' -e .

say 'starting Keystone, trove-api and the guests'
if [ "${1:-}" = --keep ]; then
    python3 -m sandbox up
    OS_CLIENT_CONFIG_FILE=$PWD/.sandbox/run/clouds.yaml OS_CLOUD=sandbox \
        tools/tour.sh
    printf -v here %q "$PWD"
    cat <<TXT

The control plane still runs. Try more:

    export PATH=$here/.venv-demo/bin:\$PATH
    export OS_CLIENT_CONFIG_FILE=$here/.sandbox/run/clouds.yaml OS_CLOUD=sandbox
    openstack database instance rpc ping db-healthy
    python3 -m sandbox guest db-healthy dead    # then ping it again
    python3 -m sandbox down                     # stop the control plane
TXT
else
    python3 -m sandbox run -- tools/tour.sh
    cat <<'TXT'

The control plane is stopped. To leave it running, and try more:

    tools/demo.sh --keep
TXT
fi
