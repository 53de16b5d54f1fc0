#!/bin/bash
# What a guest sees of its machine: a page for a reader, and lines for a test to find. Reads files rather than start
# programs, which would take an emulated machine most of its time.
set -euo pipefail
shopt -s nullglob

line() { printf '  %-12s %s\n' "$1" "$2"; }

declare -A kind=([0x0001]=network [0x0002]=disk [0x0003]=console [0x0004]=entropy [0x0005]=balloon [0x0013]=vsock
	[0x0018]=memory)
declare -A driver_of=()
for path in /sys/bus/virtio/drivers/*/virtio*; do
	driver=${path%/*}
	driver_of[${path##*/}]=${driver##*/}
done

echo 'Hello from a Debian guest.'
read -r release </proc/sys/kernel/osrelease
line kernel "$release"
# shellcheck source=/dev/null
. /etc/os-release
line system "$PRETTY_NAME"
line processors "$(nproc)"
read -r _ kibibytes _ </proc/meminfo
line memory "$((kibibytes / 1024)) MiB"

echo 'Devices:'
for path in /sys/bus/virtio/devices/*; do
	device=${path##*/}
	read -r id <"$path/device"
	names=("$path"/{block,net}/*)
	line "$device" "${kind[$id]-$id} (driver ${driver_of[$device]-none}) ${names[*]##*/}"
done
for path in /sys/block/vd*; do
	read -r sectors <"$path/size"
	read -r read_only <"$path/ro"
	access=(read-write read-only)
	line "${path##*/}" "$((sectors / 2048)) MiB, ${access[read_only]}"
done
for path in /sys/class/net/*; do
	read -r address <"$path/address"
	read -r state <"$path/operstate"
	line "${path##*/}" "$address, $state"
done

echo 'From the disk and the entropy device:'
read -r text </usr/share/cofferdam/hello.txt
line file "$text"
source=none
[[ -e /dev/hwrng ]] && read -r source </sys/class/misc/hw_random/rng_current
if [[ $source == virtio* ]]; then
	bytes=$(od -An -tx1 -N16 /dev/hwrng)
	line entropy "${bytes// /}"
fi
echo 'Goodbye.'
