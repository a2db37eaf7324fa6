#!/usr/bin/env bash
# Try what this project claims against a cloud, and print what held. Read only.
#
#   OS_CLOUD=production tools/acceptance.sh ID [ID ...]
#       [--dead ID] [--member-cloud NAME]
#
# Needs the environment that the plugin is installed in, and nothing else.
set -uo pipefail
unset CDPATH
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 2

# The Python beside the openstack command, else the first one on the PATH.
for python in \
    "$(dirname "$(readlink -f "$(command -v openstack)")")/python3" python3; do
    # -P: the plugin that is installed, and not the tree around this script.
    if "$python" -P -c 'import troveclient_rpcping.client' 2>/dev/null; then
        exec "$python" "$here/acceptance.py" "$@"
    fi
done
printf '%s: error: no Python here has the plugin: %s\n' "${0##*/}" \
    'activate the environment that it is installed in' >&2
exit 2
