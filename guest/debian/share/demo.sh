#!/bin/bash
# What a guest sees of its machine: a page for a reader, and lines for a test to find.
set -euo pipefail

line() { printf '  %-12s %s\n' "$1" "$2"; }

declare -A kind=([0x0001]=network [0x0002]=disk [0x0003]=console [0x0004]=entropy [0x0005]=balloon [0x0013]=vsock
	[0x0018]=memory)

echo 'Hello from a Debian guest.'
line kernel "$(uname -r)"
# shellcheck source=/dev/null
line system "$(. /etc/os-release && echo "$PRETTY_NAME")"
line processors "$(nproc)"
line memory "$(awk '$1 == "MemTotal:" { print int($2 / 1024) " MiB" }' /proc/meminfo)"
line init "pid 1 is $(tr '\0' ' ' </proc/1/cmdline)"

echo 'Devices:'
for device in /sys/bus/virtio/devices/*; do
	id=$(<"$device/device")
	driver=$(readlink "$device/driver" || echo none)
	names=$(cd "$device" && shopt -s nullglob && echo block/* net/* virtio-ports/*)
	line "${device##*/}" "${kind[$id]-$id} (driver ${driver##*/}) ${names// /, }"
done
for disk in /sys/block/vd*; do
	read_only=$(<"$disk/ro")
	line "${disk##*/}" "$(($(<"$disk/size") / 2048)) MiB$([[ $read_only == 0 ]] || echo ', read-only')"
done
for interface in /sys/class/net/*; do
	line "${interface##*/}" "$(<"$interface/address") $(<"$interface/operstate")"
done

echo 'From the disk:'
line file "$(</usr/share/cofferdam/hello.txt)"
if [[ -e /dev/hwrng && $(</sys/class/misc/hw_random/rng_current) != none ]]; then
	line entropy "$(head -c 16 /dev/hwrng | od -An -tx1 | tr -d ' \n')"
fi
echo 'Goodbye.'
