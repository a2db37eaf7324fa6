# The scripts beside this file source it to make a virtual environment.
# shellcheck shell=bash

# Every script works at the top of the source tree.
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

say() { printf '%s\n' "$*" >&2; }

die() {
    say "${0##*/}: error: $*"
    exit 1
}

# environment FOLDER WHAT PIP-ARGUMENT...
#
# Make the virtual environment FOLDER, and let pip install its arguments there.
# An environment of this tree, this Python and these requirements is kept. WHAT
# describes for people what is installed.
environment() {
    local folder=$1 what=$2 stamp log started=$SECONDS
    shift 2
    # The environment is removed below if it is out of date. So take Python from
    # elsewhere, also if the caller has activated this environment.
    PATH=:$PATH:
    PATH=${PATH//":$PWD/$folder/bin:"/:}
    PATH=${PATH#:} PATH=${PATH%:}
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        die 'Python 3.11 or later is needed, as python3 on the PATH'
    python3 -c 'import ensurepip' 2>/dev/null ||
        die 'the module venv is missing: install the package python3-venv'
    stamp=$(cat ./*requirements.txt setup.cfg pyproject.toml \
        doc/requirements.txt <(python3 -VV) <(printf '%s\n' "$PWD" "$@") |
        cksum)
    if [ "$(cat "$folder/stamp" 2>/dev/null)" != "$stamp" ] ||
        ! "$folder/bin/python3" -c '' 2>/dev/null; then
        say "installing $what into $folder (once)"
        rm -rf "$folder"
        python3 -m venv "$folder" || die "no virtual environment in $folder"
        log=$folder/install.log
        if ! "$folder/bin/pip" install "$@" >"$log" 2>&1; then
            tail -n 15 "$log" >&2
            die "pip could not install $what; $log has all its output"
        fi
        printf '%s\n' "$stamp" >"$folder/stamp"
        say "installed in $((SECONDS - started)) s"
    fi
    PATH=$PWD/$folder/bin:$PATH
    export PATH
    # The tests and the demo must not use the caller's settings.
    unset VIRTUAL_ENV "${!PYTHON@}" "${!OS_@}"
}
