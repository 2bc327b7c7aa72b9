#!/bin/bash
# Boots a stock kernel on the disks of root.sh and tree.sh and runs a script there.
#
#   tests/e2e/vm/boot.sh KERNEL SECONDS <SCRIPT
#
# KERNEL is the beginning of a release: 6.1 or 6.12.  The script runs as root in this checkout, as a
# service of systemd; what it prints comes here line by line, over a serial line of its own.  The exit
# status is the script's; 124 if it took longer than SECONDS, 125 if the machine did not get so far.
# With /dev/kvm it runs about as fast as here, else some twenty times slower.  Nothing that it writes
# outlives it.  There is no network.
set -euo pipefail
cd "$(dirname "$0")/../../.."

readonly kernel=$1 seconds=$2 out=build/vm
readonly memory_mib=2048 processors=2 sector_bytes=512

image=$(find "$out/boot" -name "vmlinuz-$kernel.*" | sort -V | tail -n 1)
[ -n "$image" ] || { echo "no kernel $kernel in $out/boot: root.sh puts it there" >&2; exit 125; }
release=${image##*/vmlinuz-}

{
    printf 'mkdir -p %q && mount /dev/vdb %q && cd %q || exit\n' "$PWD" "$PWD" "$PWD"
    cat
} >"$out/script"
truncate -s "%$sector_bytes" "$out/script"

# A /dev/kvm alone is not enough: there are hosts that have one and no processor for it.
accel=(-accel tcg,thread=multi)
if [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
    accel=(-accel kvm "${accel[@]}")
fi
disk() { printf -- '-drive\nfile=%s,format=raw,if=virtio,%s\n' "$1" "$2"; }
mapfile -t disks < <(
    disk "$out/root.img" snapshot=on
    disk "$out/tree.img" snapshot=on
    disk "$out/script" readonly=on
)
# Without la57 and cx16: QEMU 7.2 emulates them in a way that Linux 6.12 does not boot with.
machine=(qemu-system-x86_64 -M q35 "${accel[@]}" -cpu "max,-la57,-cx16" -smp "$processors"
    -m "$memory_mib" -nodefaults -no-reboot -display none -nic none "${disks[@]}"
    -kernel "$image" -initrd "$out/boot/initrd.img-$release"
    -append "console=ttyS0 root=/dev/vda rw panic=-1 quiet systemd.show_status=0"
    -serial "file:$out/console-$kernel" -chardev stdio,id=results,signal=off
    -serial chardev:results)

status=125
while IFS= read -r line; do
    line=${line%$'\r'}
    case $line in
        'exit status '*) status=${line##* } ;;
        *) printf '%s\n' "$line" ;;
    esac
done < <(timeout --foreground -k 5 "$seconds" nice -n 10 "${machine[@]}" </dev/null ||
    echo "exit status $(($? == 124 ? 124 : 125))")
[ "$status" -ne 124 ] || echo "stopped after $seconds s; see $out/console-$kernel" >&2
exit "$status"
