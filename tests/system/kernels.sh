#!/bin/bash
# Kernels that cannot be booted: what is wrong is said in words of its own, with what to do; the exit status is 125, the log
# has it, and nothing is left. The built-in guest and a made-up bzImage, each changed in one place.
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi

# NAME, what becomes of the image, what is said. Offsets in hexadecimal; `elf` is the built-in guest, `bz` a bzImage.
table='tiny          elf cut 9                       neither a bzImage nor an ELF image; take an x86-64 vmlinuz
magic         bz  put 0202 I 0                    neither a bzImage nor an ELF image
elf-cut       elf cut 3000                    ends before what its header promises; it was cut short
elf-table     elf put 20 Q fffffffffffffff0   ends before what its header promises
elf-machine   elf put 12 H b7                 is not one for x86-64; take one that is
elf-many      elf put 38 H ffff               too many, or none; the file may be damaged
elf-none      elf put 38 H 0                  too many, or none
elf-low       elf put 58 Q 1000               wants to lie below 1 MiB, which is the firmware.s; link it
elf-far       elf put 58 Q ffffffffff000000   wants to lie where no VM has memory; the file may be damaged
elf-large     elf put 68 Q 5000000            does not fit the VM.s memory, of which it needs 82 MiB; raise machine.memory
bz-old        bz  put 206 H 20b               boot protocol is older than 2.12; take Linux 3.8
bz-32         bz  put 236 H 0                 is not one for x86-64
bz-low        bz  put 211 B 0                 is a zImage; take a bzImage
bz-align      bz  put 230 I 3                 impossible value; the file may be damaged
bz-jump       bz  put 201 B 0                 impossible value
bz-cut        bz  cut 1800                    ends before what its header promises
bz-size       bz  put 1f4 I ffffffff          ends before what its header promises
bz-large      bz  put 260 I 6000000           does not fit the VM.s memory, of which it needs 98 MiB
bz-words      bz  put 238 I 3                 command line is longer than this kernel takes .3 bytes.; shorten'
python3 - "$B/guest/builtin.elf" "$place" "$table" <<'PYTHON' || fail "the images could not be made"
import struct, sys
elf, bz = open(sys.argv[1], "rb").read(), bytearray(0x4000)
for at, form, value in ((0x1f1, "B", 1), (0x1f4, "I", (0x4000 - 1024) // 16), (0x1fe, "H", 0xaa55), (0x201, "B", 0x6a),
                        (0x202, "I", 0x53726448), (0x206, "H", 0x20f), (0x211, "B", 1), (0x22c, "I", 0x7fffffff),
                        (0x230, "I", 0x200000), (0x234, "B", 1), (0x236, "H", 1), (0x238, "I", 2047),
                        (0x258, "Q", 0x100000), (0x260, "I", 0x4000)):
    struct.pack_into("<" + form, bz, at, value)
for line in sys.argv[3].splitlines():
    name, kind, how, *rest = line.split()
    image = bytearray(elf if kind == "elf" else bz)
    if how == "cut":
        image = image[:int(rest[0])]
    else:
        struct.pack_into("<" + rest[1], image, int(rest[0], 16), int(rest[2], 16))
    open(f"{sys.argv[2]}/{name}.kernel", "wb").write(image)
PYTHON

while read -r name _ how rest; do
	if [ "$how" = cut ]; then pattern=${rest#* }; else pattern=$(awk '{$1=$2=$3=""; print}' <<<"$rest"); fi
	pattern=$(sed 's/^ *//' <<<"$pattern")
	file=$(policy "$name" "kernel: {path: $name.kernel}" 'cmdline: some words')
	expect_status "$name" 125 "$pattern" cf run "$file"
	log=$(ls "$place/log/$name-"*.jsonl 2>/dev/null)
	grep -E '"(vm_crashed|start_refused)"' "$log" | grep -qE -- "$pattern" && grep -q '"log_closed"' "$log" && pass "$name: in the log" || fail "$name: the log does not say so" "$log"
	expect_clean "$name: nothing left" "$name"
done <<<"$table"

echo "- a limit on the size of files"
policy files >/dev/null
limited() { (ulimit -f "$1" && cf run "$place/files.yaml"); }
for blocks in 0 1 100; do
	expect_status "$blocks KiB" 125 'File too large' limited $blocks
	expect_clean "$blocks KiB: nothing left" files
done
finish
