#!/bin/bash
# Packs this checkout as it is, with what was built in it, into the disk that boot.sh mounts at the
# same path: .venv names its place, and must find it.
#
#   tests/e2e/vm/tree.sh        -> build/vm/tree.img
set -euo pipefail
cd "$(dirname "$0")/../../.."

readonly out=build/vm spare_mib=200
staged=$(mktemp -d -p "$out")
trap 'rm -rf "$staged"' EXIT

# File times are kept: Python compares them with those in its compiled files.
{
    git ls-files -z --cached --others --exclude-standard
    find .venv build/node build/nginx build/lighttpd -print0 2>/dev/null || true
} | cpio -0pdm --quiet "$staged"
size_mib=$(($(du -sm "$staged" | cut -f 1) + spare_mib))
rm -f "$out/tree.img"
mke2fs -q -F -t ext4 -O ^has_journal -m 0 -d "$staged" "$out/tree.img" "${size_mib}M" >/dev/null
