#!/bin/bash
# Writes a pattern to the second disk, syncs, forgets it, reads it back and compares.
set -euo pipefail

disk=/dev/vdb
mebibytes=4
[[ -b $disk ]] || { echo "write: there is no $disk" >&2 && exit 1; }

pattern() { yes 'cofferdam was here' | head -c $((mebibytes << 20)); }

dd if=<(pattern) of=$disk bs=64k iflag=fullblock conv=fsync status=none
sync
blockdev --flushbufs $disk
cmp <(pattern) <(head -c $((mebibytes << 20)) $disk)
echo "write: $mebibytes MiB on $disk written and read back"
