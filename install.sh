#!/bin/sh
# Installs todoctl. Needs no root and changes nothing but PREFIX/bin/todoctl.
#
#   ./install.sh                          build and install this checkout
#   ./install.sh --from URL|FILE          install a released binary
#
# A released binary is installed only when its SHA-256 is known and fits: from
# --sha256, or from the file of the same name with `.sha256` behind it.
set -eu

usage() {
    cat <<'TEXT'
usage: install.sh [--from URL|FILE [--sha256 SUM]] [--prefix DIR] [--dry-run]

  --from URL|FILE   binary to install; without it, this checkout is built
  --sha256 SUM      its SHA-256; by default read from URL|FILE.sha256
  --prefix DIR      install to DIR/bin (default: ~/.local)
  --dry-run         only say what would be done
TEXT
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

from='' sum='' prefix="${HOME:?}/.local" dry=no
while [ $# -gt 0 ]; do
    case $1 in
    --from | --sha256 | --prefix)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in
        --from) from=$2 ;;
        --sha256) sum=$2 ;;
        --prefix) prefix=$2 ;;
        esac
        shift
        ;;
    --dry-run) dry=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        fail "unknown argument $1"
        ;;
    esac
    shift
done

target=$prefix/bin/todoctl

run() {
    if [ "$dry" = yes ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

from_checkout() {
    here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
    [ -f "$here/Cargo.toml" ] || fail "not inside a checkout: name a binary with --from"
    command -v cargo >/dev/null 2>&1 || fail "cargo is not installed: see https://rustup.rs"
    run cargo install --locked --path "$here" --root "$prefix"
}

# Copies URL or FILE $1 to the file $2.
fetch() {
    case $1 in
    https://*)
        if command -v curl >/dev/null 2>&1; then
            curl --fail --silent --show-error --location --proto '=https' --output "$2" "$1"
        elif command -v wget >/dev/null 2>&1; then
            wget --quiet --output-document="$2" "$1"
        else
            fail "neither curl nor wget is installed"
        fi
        ;;
    *://*) fail "only https is fetched: $1" ;;
    *) cp -- "$1" "$2" ;;
    esac
}

checksum() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif command -v shasum >/dev/null 2>&1; then
        shasum -a 256 "$1" | cut -d ' ' -f 1
    else
        fail "neither sha256sum nor shasum is installed"
    fi
}

from_release() {
    if [ "$dry" = yes ]; then
        echo "would fetch $from, check its SHA-256 and install it as $target"
        return
    fi
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    fetch "$from" "$work/todoctl" || fail "cannot fetch $from"
    if [ -z "$sum" ]; then
        fetch "$from.sha256" "$work/sum" 2>/dev/null ||
            fail "no checksum: give --sha256, or put one into $from.sha256"
        sum=$(cut -d ' ' -f 1 <"$work/sum")
    fi
    found=$(checksum "$work/todoctl")
    [ "$found" = "$sum" ] || fail "the checksum is $found, not $sum: nothing was installed"
    mkdir -p "$prefix/bin"
    chmod 755 "$work/todoctl"
    # A rename replaces a running binary safely; it has to be on one disk.
    cp -p "$work/todoctl" "$target.new"
    mv -f "$target.new" "$target"
}

if [ -n "$from" ]; then
    from_release
else
    from_checkout
fi
[ "$dry" = yes ] || echo "installed $target"
case :${PATH}: in
*":$prefix/bin:"*) ;;
*) echo "note: $prefix/bin is not in your PATH" ;;
esac
