#!/usr/bin/env bash
# Make a virtual environment anew from files of hashed requirements.
#
#     PYTHON=python3.12 requirements/venv.sh .venv requirements/harness.txt requirements/dev.txt
#
# Without PYTHON, the first interpreter on the PATH that is 3.11 or newer is taken.
# On Debian and Ubuntu a missing venv module is installed when that needs no password.
set -euo pipefail

directory=$1
shift

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

is_new_enough() {
    # A pyenv shim is on the PATH and still runs nothing: only running it tells.
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "No Python 3.11 or newer found (looked for: ${PYTHON:-python3.11, python3.12, python3.13, python3})." \
        "Install one, for example: apt-get install python3.11 python3.11-venv, or name it: make PYTHON=/path/to/python3"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo --non-interactive "$@"
    fi
}

has_venv_module() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

ensure_venv_module() {
    local python=$1 package
    if has_venv_module "$python"; then
        return
    fi
    # Two environments are made at the same time: the second finds the module installed.
    exec 9<"$0"
    flock 9
    if has_venv_module "$python"; then
        return
    fi
    package=$("$python" -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))')
    echo "setup: $python lacks the venv module; installing $package" >&2
    if ! { command -v apt-get >/dev/null && as_root true 2>/dev/null; }; then
        fail "$python lacks the venv module." "Install it and run this again: apt-get install $package"
    fi
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >&2
    flock --unlock 9
}

python=$(find_python)
ensure_venv_module "$python"

echo "setup: $directory from $* with $("$python" --version) (once; a minute or two)"
rm -rf "$directory"
"$python" -m venv "$directory"

# Byte code is left to the first import: most modules are never imported, and compiling all takes most of the time.
log=$directory/pip.log
"$directory/bin/python" -m pip install --progress-bar off --disable-pip-version-check --no-compile --use-pep517 \
    --require-hashes "${@/#/--requirement=}" >"$log" 2>&1 &
pip=$!
next_line=$((SECONDS + 5))
trap 'kill "$pip" 2>/dev/null' EXIT
# A line every few seconds says what is waited for: the downloads take a minute or more.
while kill -0 "$pip" 2>/dev/null; do
    sleep 1
    if [ "$SECONDS" -ge "$next_line" ]; then
        next_line=$((SECONDS + 5))
        # Only what pip fetches or installs: a warning of an index is no progress.
        echo "setup: $directory, after $SECONDS s: $(grep -E '^(Collecting|Processing|Installing|  Downloading)' "$log" | tail -n 1 | cut -c 1-100)"
    fi
done
wait "$pip" || fail "setup: $directory could not be made; the last lines of pip:" "$(tail -n 15 "$log")"
trap - EXIT
