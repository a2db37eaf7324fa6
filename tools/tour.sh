#!/usr/bin/env bash
# What tools/demo.sh shows, once the control plane runs.
set -uo pipefail

chapter() { printf '\n# %s\n' "$*"; }

# show COMMAND...: run it as a user would, and tell its exit status.
show() {
    local quoted
    printf -v quoted ' %q' "$@"
    printf '$%s\n' "$quoted"
    "$@" 2>&1
    printf '[exit status %d]\n' "$?"
}

ping=(openstack database instance rpc ping)

chapter 'A healthy guest: its agent answers.'
show "${ping[@]}" db-healthy

chapter 'A dead one: Trove asks, and waits (3 s here, 15 s by default).'
show "${ping[@]}" db-dead

chapter 'An agent that is alive, but too old to know the ping.'
show "${ping[@]}" db-old

chapter 'An agent that fails, with a traceback and terminal escapes.'
show "${ping[@]}" db-failing

chapter 'Several at once, for people and for programs.'
show "${ping[@]}" db-healthy db-dead db-old db-slow
show "${ping[@]}" -f json -c Name -c Verdict -c RTT db-healthy db-dead

chapter 'Nova breaks: Trove answers 400 as well, but no guest is blamed.'
guest=$(openstack database instance list --all-projects -f value -c ID -c Name |
    awk '$2 == "db-healthy" { print $1 }')
python3 -m sandbox nova broken
show "${ping[@]}" "$guest"
python3 -m sandbox nova ok
