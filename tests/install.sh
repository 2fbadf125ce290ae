#!/usr/bin/env bash
# Installs what the tests need and the machine lacks: mosquitto, prometheus (with promtool), Alertmanager, PostgreSQL, strace,
# faketime, a mail server (aiosmtpd), a C compiler.
# Does nothing, and asks for no rights, when all is there. Needs apt and, for a normal user, sudo without a question.
set -euo pipefail

PATH="$PATH:/usr/sbin:/sbin"

fail() {
    echo "tests/install.sh: $*" >&2
    exit 1
}

missing=()
need() { # program package
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
need mosquitto mosquitto
need prometheus prometheus
need promtool prometheus
need prometheus-alertmanager prometheus-alertmanager
need strace strace
need prlimit util-linux
need faketime faketime
need curl curl
need kill procps
need timeout coreutils
need systemd-analyze systemd
need cc gcc
# Debian keeps the server's programs where no PATH looks.
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || need initdb postgresql
/usr/bin/python3 -c 'import aiosmtpd' >/dev/null 2>&1 || missing+=(python3-aiosmtpd)
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
# A compiler without the C library's headers is of no use to the crates that build C.
if [[ " ${missing[*]-} " == *" gcc "* ]]; then
    missing+=(libc6-dev)
fi

if [ ${#missing[@]} -gt 0 ]; then
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    echo "installing: ${missing[*]}"
    command -v apt-get >/dev/null 2>&1 ||
        fail "no apt-get here; install these with your own package manager: ${missing[*]}"
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || fail "run as root: apt-get install ${missing[*]}"
        as_root=(sudo -n)
        "${as_root[@]}" true || fail "sudo asks for a password; run: sudo apt-get install ${missing[*]}"
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update </dev/null ||
        fail "apt-get update failed"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
        "${missing[@]}" </dev/null >/dev/null || fail "could not install: ${missing[*]}"
    # The packages start their own servers; the tests start theirs on free ports. What was here before stays as it was.
    for service in mosquitto prometheus prometheus-alertmanager postgresql; do
        if [[ " ${missing[*]} " == *" $service "* ]]; then
            if [ -d /run/systemd/system ]; then
                "${as_root[@]}" systemctl disable --now "$service" >/dev/null 2>&1 || true
            else
                "${as_root[@]}" service "$service" stop >/dev/null 2>&1 || true
            fi
        fi
    done
fi

command -v cargo >/dev/null 2>&1 || fail "no cargo; install Rust 1.95 or later: https://rustup.rs"
