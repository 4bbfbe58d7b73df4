# Sourced by every finding. `room PACKAGE==VERSION ...` makes a temporary folder with an environment of these packages, which is removed
# at the end; `look` runs the Python program on its standard input there. PYTHON: the interpreter; PIP_FLAGS: for pip, as the Makefile's.
set -eu
room() {
    ROOM=$(mktemp -d)
    trap 'rm -rf "$ROOM"' EXIT
    "${PYTHON:-python3}" -m venv "$ROOM/env"
    # shellcheck disable=SC2086
    "$ROOM/env/bin/python" -m pip install -qq --disable-pip-version-check --no-input ${PIP_FLAGS:-} "$@" >"$ROOM/log" 2>&1 ||
        { tail -n 5 "$ROOM/log" >&2; exit 2; }
    cd "$ROOM"
}
look() { OMP_NUM_THREADS=1 "$ROOM/env/bin/python" -W ignore -; }
