#!/bin/bash
# A disk that is pinned by sha256 and that others may write: refused, unless fs-verity protects it; then not even its owner
# can change it, and it runs. Needs a file system with fs-verity in FOLDER.
. "$(dirname "$0")/lib.sh"
folder=${1:-/mnt/scratch}
if ! [ -w /dev/kvm ] || ! [ -d "$folder" ]; then
	skip "needs a usable /dev/kvm and a file system with fs-verity"
	finish
	exit
fi
there=$(mktemp -d "$folder/cofferdam-test-XXXXXX")
trap 'rm -rf "$there" "$place"' EXIT
head -c 65536 /dev/urandom >"$there/image.raw"
chmod 666 "$there/image.raw"
digest=$(sha256sum "$there/image.raw" | cut -d' ' -f1)
policy verity "disks: [{name: root, path: image.raw, sha256: $digest}]" >/dev/null
install -m 644 "$place/verity.yaml" "$there/verity.yaml"
expect_status "writable by others" 125 'can be written by others than its owner.*fs-verity' cf run "$there/verity.yaml"
# FS_IOC_ENABLE_VERITY: version 1, SHA-256, blocks of 4 KiB
if ! python3 -c 'import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x40806685, struct.pack("<IIII", 1, 1, 4096, 0) + bytes(112))' "$there/image.raw"; then
	skip "no fs-verity in $folder"
	finish
	exit
fi
expect_status "protected by fs-verity" 0 'all well' cf run "$there/verity.yaml"
if (echo changed >>"$there/image.raw") 2>/dev/null; then fail "the image can still be written"; else pass "nobody can write it any more"; fi
sed -i "s/sha256: ./sha256: 0/" "$there/verity.yaml"
grep -q "$digest" "$there/verity.yaml" && sed -i "s/sha256: ./sha256: 1/" "$there/verity.yaml"
expect_status "another file than the one that is pinned" 125 'is not the file the policy pins' cf run "$there/verity.yaml"
finish
