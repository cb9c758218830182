#!/usr/bin/env bash
# Install what the tests need, then run every check: style, types, import contracts, manifest, tests.
#
# The tests open real napari windows on a virtual display, which takes a few Debian packages. They are
# installed where that is allowed (root, apt-get); elsewhere their names are printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

debian_packages=(
    python3-venv xvfb xauth
    # what Qt and OpenGL load at run time
    libgl1 libgl1-mesa-dri libegl1 libglib2.0-0 libfontconfig1 libdbus-1-3
    libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-image0 libxcb-render-util0
    libxcb-xinerama0 libxcb-shape0 libxkbcommon-x11-0
)

is_installed() {
    dpkg-query --show --showformat '${Status}' "$1" 2>/dev/null | grep --quiet 'ok installed'
}

missing=()
if command -v dpkg-query >/dev/null; then
    for package in "${debian_packages[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
elif ! command -v xvfb-run >/dev/null; then
    missing=("${debian_packages[@]}")
fi

if ((${#missing[@]})); then
    if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
        apt-get update --quiet
        DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends "${missing[@]}"
    else
        echo "The tests need these Debian packages (or what your system calls them): ${missing[*]}" >&2
        exit 2
    fi
fi

"${PYTHON:-python3}" -m venv .venv-tox
.venv-tox/bin/pip install --quiet --constraint constraints.txt tox
exec .venv-tox/bin/tox run -e py311 "$@"
