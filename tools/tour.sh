#!/usr/bin/env bash
# The tour of tools/demo.sh. It needs a running sandbox.
set -uo pipefail

chapter() { printf '\n# %s\n' "$*"; }

# show COMMAND...: print a command, run it, and print its exit status.
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

chapter 'A dead guest: Trove waits for it (3 s here, 15 s by default).'
show "${ping[@]}" db-dead

chapter 'An old agent, which has no ping: it answers so, and RPC works.'
show "${ping[@]}" db-old

chapter 'An agent that fails, and sends a traceback and terminal escapes.'
show "${ping[@]}" db-failing

chapter 'Several guests, for people and for programs.'
show "${ping[@]}" db-healthy db-dead db-old db-failing
show "${ping[@]}" -f json -c Name -c Verdict -c RTT db-healthy db-dead

chapter 'Nova is broken: Trove answers 400 without asking the guest.'
guest=$(openstack database instance list --all-projects -f value -c ID -c Name |
    awk '$2 == "db-healthy" { print $1 }')
python3 -m sandbox nova broken
show "${ping[@]}" "$guest"
python3 -m sandbox nova ok

chapter 'An agent restarts: --wait ends when it is back.'
python3 -m sandbox guest db-healthy dead
{ sleep 4; python3 -m sandbox guest db-healthy answering; } &
show "${ping[@]}" db-healthy --wait 60 --stable 2
wait

chapter 'The monitor prints a line for each change of a verdict.'
monitor=(openstack database instance rpc monitor --all --interval 10)
printf '$ %s\n' "${monitor[*]}"
exec 3< <(exec "${monitor[@]}" 2>&1)
while read -r -t 120 line <&3; do
    printf '%s\n' "$line"
    case $line in
        Watching*) python3 -m sandbox guest db-clustered dead ;;
        *'-> unreachable after'*) break ;;
    esac
done
kill $!
wait $!
printf '[exit status %d]\n' $?
python3 -m sandbox guest db-clustered answering

chapter 'The plugin for Icinga, Nagios and Checkmk.'
show check_trove_guest_rpc --all -v
