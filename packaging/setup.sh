#!/bin/bash
# Makes this checkout ready to run on Debian 12: packages, .venv, the built package, mounts.
#
#   packaging/setup.sh demo|test|vm     vm: as test, and what boots test machines
#   packaging/setup.sh packages         only names the apt packages, one a line
#
# It does only what is missing, so that a second run takes a second or two.  It says what it does
# and how long that took; where it cannot go on, one line says why and what to do.  Nothing outside
# the checkout changes but apt packages and the mounts of tracefs, debugfs and bpffs.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${1:-}
readonly log=build/setup.log
readonly ws_version=8.18.3 # Node.js WebSocket library, for the demo's server on a static OpenSSL
readonly lock_wait_seconds=180
readonly say_every_seconds=10

apt_packages=(
    # to watch: BCC and the UAPI headers that its programs include, journald, seccomp
    python3-bpfcc linux-libc-dev python3-systemd python3-seccomp
    # to build: the interpreter's headers, compilers, the libraries that Cython modules link
    python3-venv python3-dev gcc g++ make pkg-config libsystemd-dev
    libvectorscan-dev libpcap-dev libisal-dev libssl-dev
    ca-certificates
)
vm_packages=(qemu-system-x86 mmdebstrap e2fsprogs cpio)
# The tests alone: clang with its sanitizers and libFuzzer.
[ "$profile" != test ] || apt_packages+=(clang-14 libclang-rt-14-dev)

say() { printf '[%3d s] %s\n' "$SECONDS" "$*"; }

fail() {
    printf 'set-up: %s\n' "$*" >&2
    exit 1
}

# run WHAT COMMAND...: the output goes to the log, what it is doing to the terminal.
# A failed command leaves $? to the caller.
run() {
    local what=$1 begun=$SECONDS beat status=0
    shift
    say "$what ..."
    # A sleep that outlives the loop must not keep the caller's pipe open.
    { while sleep "$say_every_seconds" >/dev/null 2>&1; do say "  still at it: $what"; done; } &
    beat=$!
    "$@" >>"$log" 2>&1 </dev/null || status=$?
    { kill "$beat" && wait "$beat"; } 2>/dev/null || true
    [ "$status" -ne 0 ] || say "  done in $((SECONDS - begun)) s"
    return "$status"
}

# explain WHAT: one line that says what to do; the log's last lines where the cause is not known.
explain() {
    if grep -qE 'Could not get lock|Unable to acquire the dpkg' "$log"; then
        fail "$1: another apt is at work; wait until it has finished, then start again"
    elif grep -qE 'Temporary failure|Could not resolve|NewConnectionError|Network is unreachable' \
        "$log"; then
        fail "$1: the network cannot be reached; connect this machine, then start again"
    fi
    tail -n 15 "$log" >&2
    fail "$1: see the lines above and $log, mend that, then start again"
}

missing_packages() {
    local package
    for package in "${apt_packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            echo "$package"
    done
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -gt 0 ] || return 0
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -q -y -o "DPkg::Lock::Timeout=$lock_wait_seconds")
    run "reading apt's package lists" "${apt[@]}" update || explain "apt-get update failed"
    run "installing ${#missing[@]} apt packages" \
        "${apt[@]}" install --no-install-recommends "${missing[@]}" ||
        explain "apt-get install failed"
}

# Debian's own interpreter: only that one sees Debian's bcc, seccomp and systemd modules.
make_venv() {
    # Its scripts name their place, so one that was moved here is of no use.
    grep -qsF " $PWD/.venv" .venv/pyvenv.cfg &&
        .venv/bin/python -c 'import importlib.util as i, sys; sys.exit(not i.find_spec("bcc"))' &&
        return 0
    rm -rf .venv
    run "making .venv" /usr/bin/python3 -m venv --system-site-packages .venv ||
        explain "python3 -m venv failed"
}

# What the package is built from; generated files left out.
fingerprint() {
    find pyproject.toml setup.py README.md LICENSE agent parser collector proto src/sockwarden \
        -type f ! -path '*/__pycache__/*' ! -name '*.so' ! -name '*_pb2*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
}

# setuptools keeps what it built in build/: of use for the objects, harmful for modules that were
# renamed or removed since, which would get into the package.
forget_stale_build() {
    local built module
    rm -rf build/bdist.*
    for built in build/lib.*/; do
        [ -d "$built" ] || continue
        find "$built" -type f ! -name '*.so' -delete
        while IFS= read -r module; do
            [ -f "src/${module%%.cpython*}.pyx" ] || rm -f "$built$module"
        done < <(find "$built" -name '*.so' -printf '%P\n')
    done
}

build_tools() {
    .venv/bin/python -c 'import tomllib
for tool in tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]: print(tool)'
}

install_package() {
    local stamp current tools pip=(.venv/bin/pip install --disable-pip-version-check --no-input)
    current=$(fingerprint)
    for stamp in .venv/built-for-test ".venv/built-for-$profile"; do
        [ "$(cat "$stamp" 2>/dev/null)" != "$current" ] || return 0
    done
    rm -f .venv/built-for-*
    forget_stale_build
    # The build tools stay in .venv: a build of its own each time would compile all anew.
    mapfile -t tools < <(build_tools)
    run "installing the build tools" "${pip[@]}" "${tools[@]}" ||
        explain "the build tools could not be installed"
    run "building sockwarden, installing it and its Python dependencies" \
        "${pip[@]}" --no-build-isolation ".[$profile]" || explain "the build failed"
    echo "$current" >".venv/built-for-$profile"
}

# Optional: without it the demo and the tests leave Node.js out, and say so.
install_node_library() {
    command -v node >/dev/null && command -v npm >/dev/null || return 0
    [ "$(cat build/node/version 2>/dev/null)" != "$ws_version" ] || return 0
    mkdir -p build/node
    if run "installing ws $ws_version for Node.js" npm install --prefix build/node \
        --no-save --no-audit --no-fund --ignore-scripts "ws@$ws_version"; then
        echo "$ws_version" >build/node/version
    else
        say "  ws could not be installed: Node.js is left out (see $log)"
    fi
}

# unpack PROGRAM PACKAGE...: a server for the tests, beside the system: installed, it would begin to
# serve on port 80.
unpack() {
    local program=$1 folder="build/$1"
    shift
    [ "$profile" = test ] && [ ! -x "$folder/usr/sbin/$program" ] || return 0
    rm -rf "$folder" && mkdir -p "$folder"
    if run "unpacking $program into $folder" bash -c "cd $folder &&
        { apt-get -q download $* || { apt-get -q update && apt-get -q download $*; }; } &&
        for package in ./*.deb; do dpkg-deb -x \$package .; done && ./usr/sbin/$program -v"; then
        return 0
    fi
    rm -rf "$folder"
    say "  $program could not be had: its tests are left out (see $log)"
}

# mount_where_missing TYPE MAGIC FOLDER LOSS
mount_where_missing() {
    [ "$(stat -f -c %T "$3" 2>/dev/null)" != "$2" ] || return 0
    if mount -t "$1" "$1" "$3" 2>>"$log"; then
        say "mounted $1 on $3"
    else
        say "$1 cannot be mounted on $3 here: $4"
    fi
}

mount_file_systems() {
    mount_where_missing tracefs tracefs /sys/kernel/tracing \
        "plaintext sockets cannot be watched, TLS libraries can"
    mount_where_missing debugfs debugfs /sys/kernel/debug \
        "nothing is lost where tracefs is mounted"
    mount_where_missing bpf bpf_fs /sys/fs/bpf \
        "nothing is lost, the probe is held by open descriptors"
}

# Clients that Debian builds with other TLS libraries, and what the servers below are linked with.
[ "$profile" = demo ] || apt_packages+=(gnutls-bin libnss3-tools libpcre2-8-0 libxxhash0)

[ "$profile" != packages ] || {
    printf '%s\n' "${apt_packages[@]}"
    exit 0
}
if [ "$profile" = vm ]; then
    apt_packages+=("${vm_packages[@]}")
    profile=test
fi
[ "$profile" = demo ] || [ "$profile" = test ] || {
    echo "usage: packaging/setup.sh demo|test|vm|packages" >&2
    exit 2
}
[ "$(id -u)" -eq 0 ] || fail "eBPF and apt need root; run it as root, for one with sudo"
command -v apt-get >/dev/null || fail "this needs Debian 12 or a relative of it: no apt-get here"

mkdir -p build
: >"$log"
install_packages
make_venv
install_package
install_node_library
unpack nginx nginx
unpack lighttpd lighttpd lighttpd-mod-gnutls
mount_file_systems
say "set-up is complete"
