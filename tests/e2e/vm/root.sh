#!/bin/bash
# Builds the disk that test machines boot from: Debian 12 with systemd, what packaging/setup.sh
# installs, and two stock kernels with their initrds: Debian 12's own and its backports'.
#
#   tests/e2e/vm/root.sh        -> build/vm/root.img, build/vm/boot/{vmlinuz,initrd.img}-RELEASE
#
# Nothing is done while the packages are the same.  The project is not in it: boot.sh brings
# it along on a disk of its own.
set -euo pipefail
cd "$(dirname "$0")/../../.."

readonly out=build/vm suite=bookworm spare_mib=600
recipe=$(cat "$0" <(packaging/setup.sh packages) | sha256sum)

system=(systemd systemd-sysv dbus udev kmod iproute2 procps openssl nodejs linux-image-cloud-amd64)
masked=(getty@tty1 serial-getty@ttyS0 systemd-firstboot e2scrub_reap e2scrub_all.timer
    fstrim.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer)

[ "$(cat "$out/recipe" 2>/dev/null)" != "$recipe" ] || exit 0
echo "building $out/root.img: a minute or two; what it says is in $out/log"
rm -rf "$out" && mkdir -p "$out"
exec 3>&2 >"$out/log" 2>&1
trap '[ $? -eq 0 ] || { tail -n 15 "$out/log"; echo "root.sh failed: see $out/log"; } >&3' EXIT

# The archive that this machine's apt uses.
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security |
    head -n 1)
[ -n "$archive" ] || { echo "apt knows no archive yet: run apt-get update"; exit 1; }

# The initrd holds what leads to the disk and nothing else: it is unpacked by an emulated processor.
cat >"$out/initramfs" <<'END'
MODULES=list
COMPRESS=gzip
END
printf '%s\n' virtio_pci virtio_blk ext4 >"$out/modules"
# What the second serial line is for: boot.sh sends a script on the third disk.
cat >"$out/vm-test.service" <<'END'
[Unit]
Description=Run the script on the third disk, then power off
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'stty -F /dev/ttyS1 raw; tr -d "\\0" </dev/vdc | bash; echo "exit status $?"; sync'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
ExecStopPost=/bin/systemctl --no-block poweroff
TimeoutStartSec=infinity
LimitNOFILE=65536
[Install]
WantedBy=default.target
END

mapfile -t needed < <(packaging/setup.sh packages)
packages=("${system[@]}" "${needed[@]}")
in_root='chroot "$1"'
mmdebstrap --quiet --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
    --essential-hook="copy-in $out/modules /etc/initramfs-tools" \
    --essential-hook="cp $out/initramfs \"\$1/etc/initramfs-tools/conf.d/vm\"" \
    --customize-hook='APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q -y install \
        -oDPkg::Chroot-Directory="$1" -t '$suite'-backports linux-image-cloud-amd64' \
    --customize-hook="copy-in $out/vm-test.service /etc/systemd/system" \
    --customize-hook="$in_root systemctl -q enable vm-test.service" \
    --customize-hook="$in_root systemctl -q mask ${masked[*]}" \
    --customize-hook="$in_root systemctl -q set-default multi-user.target" \
    --customize-hook='echo vm-test >"$1/etc/hostname"; echo 127.0.0.1 localhost vm-test >"$1/etc/hosts"' \
    "$suite" "$out/root" "deb $archive $suite main" "deb $archive $suite-backports main"

mkdir "$out/boot"
cp "$out"/root/boot/{vmlinuz,initrd.img}-* "$out/boot"
size_mib=$(($(du -sm "$out/root" | cut -f 1) + spare_mib))
mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$out/root" "$out/root.img" "${size_mib}M"
rm -rf "$out/root"
echo "$recipe" >"$out/recipe"
