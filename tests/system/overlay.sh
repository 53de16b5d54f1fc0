#!/bin/bash
# Overlays, in the jail: the image stays as it is, a kept overlay goes on in the next run, what is discarded leaves nothing, and a
# file that is no overlay of this image is refused before anything runs. And a disk, with one or without, has no format.
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi

head -c 1050624 /dev/zero | tr '\0' '\101' >"$place/base.img" # its last cluster is not whole
chmod 644 "$place/base.img"
before=$(sha256sum <"$place/base.img")
kept=$place/kept.root.overlay

# guest NAME OVERLAY WORDS [LIMITS]: a policy whose one disk is the image.
guest() { policy "$1" "cmdline: $3" "disks: [{name: root, path: base.img, overlay: $2${4:-}}]" >/dev/null; }
unchanged() { [ "$(sha256sum <"$place/base.img")" = "$before" ] && pass "$1" || fail "$1"; }

guest gone discard "disk fill=20"
expect_status "an overlay that is discarded can be written" 0 'fill: 20 of 20 .*' cf run "$place/gone.yaml"
unchanged "the image stays as it is"
ls "$place"/*.overlay >/dev/null 2>&1 && fail "nothing is left of it" "$(ls "$place")" || pass "nothing is left of it"
expect_status "the next run begins with the image" 0 'first bytes 41414141' cf run "$place/gone.yaml"

guest kept keep "disk fill=20"
expect_status "an overlay that is kept can be written" 0 'fill: 20 of 20 ' cf run "$place/kept.yaml"
unchanged "and the image stays as it is"
guest kept keep disk
expect_status "plan finds it" 0 'kept' cf plan "$place/kept.yaml"
expect_status "what was flushed is there in the next run" 0 'first bytes 5a5a5a5a' cf run "$place/kept.yaml"
[ "$(stat -c %a "$kept")" = 600 ] && pass "nobody else may read it" || fail "nobody else may read it" "$(stat "$kept")"

guest kept keep fill=100 ", limits: {growth: 40KiB}"
expect_status "it grows by no more than its cap" 0 'fill: 30 of 100 ' cf run "$place/kept.yaml"

policy two "cmdline: disk" "disks: [{name: root, path: base.img, overlay: keep}, {name: other, path: base.img, overlay: discard},
  {name: third, path: base.img}]" >/dev/null
expect_status "an image has several overlays" 0 'all well' cf run "$place/two.yaml"

log=$(ls "$place"/log/two-*.jsonl)
for record in 'root opened: base.img$' 'root opened: two.root.overlay, overlay: keep$' 'other opened: a nameless file, overlay: discard$' 'third opened: base.img$' \
	'disk root is kept in two.root.overlay$' 'disk other is discarded with its overlay$'; do
	expect_status "the log: $record" 0 "$record" cf audit show "$log"
done
[ "$(grep -cE '"event_code":"overlay_(kept|discarded)"' "$log")" = 2 ] && pass "and of no other disk" || fail "of other disks" "$(cf audit show "$log")"
[ "$(grep -c '"read_only":"yes"' "$log")" = 3 ] && pass "every image is only read" || fail "not every image is only read" "$(cf audit show "$log")"
for file in base.img:3 two.root.overlay:1; do
	[ "$(grep -c "\"identity\":\"$(stat -c %D:%i "$place/${file%:*}")\"" "$log")" = "${file#*:}" ] && pass "the log has which file ${file%:*} is" ||
		fail "the log has not which file ${file%:*} is" "$(grep resource_opened "$log")"
done
policy shown 'cmdline: list end=button' "disks: [{name: root, path: base.img, overlay: keep}, {name: other, path: base.img, overlay: discard},
  {name: third, path: base.img}]" >/dev/null
"$cofferdam" --host "$place/host.yaml" run "$place/shown.yaml" >"$place/shown.out" 2>&1 </dev/null &
launcher=$!
wait_for 20 grep -q 'power button' "$place/shown.out" || fail "shown does not start" "$(cat "$place/shown.out")"
expect_status "inspect names a kept overlay" 0 '^  disk root, .*, overlay: keep$' cf inspect shown
expect_status "and one to be discarded" 0 '^  disk other, .*, overlay: discard$' cf inspect shown
expect_status "and none where there is none" 0 '^  disk third, .*read-only$' cf inspect shown
cf stop shown >/dev/null
wait $launcher || fail "shown: status $?" "$(cat "$place/shown.out")"

guest kept keep disk ", limits: {growth: 40KiB}"
head -c 16 /dev/zero | tr '\0' '\377' | dd of="$kept" conv=notrunc bs=1 seek=4096 status=none # 128 clusters, 50 of them are there
expect_status "what could grow back beyond the cap does not start" 125 'disk root: its overlay has holes of [0-9]+ bytes where it should have clusters, and limits.growth is 40960' cf run "$place/kept.yaml"
expect_status "by plan as well" 125 'its overlay has holes' cf plan "$place/kept.yaml"
guest kept keep disk ", limits: {growth: 512KiB}"
expect_status "within it it does" 0 'all well' cf run "$place/kept.yaml"
truncate -s 4096 "$kept"
expect_status "plan takes one whose start was killed" 0 'kept' cf plan "$place/kept.yaml"
expect_status "and run makes it whole" 0 'first bytes 41414141' cf run "$place/kept.yaml"

guest kept keep disk
printf x | dd of="$kept" conv=notrunc bs=1 seek=100 status=none
expect_status "a stranger's file is refused" 125 'kept.root.overlay is no overlay of an image of 1050624 bytes' cf run "$place/kept.yaml"
expect_status "by plan as well" 125 'is no overlay of an image' cf plan "$place/kept.yaml"
rm "$kept" && ln -s base.img "$kept"
expect_status "a link is refused" 125 'symbolic link' cf run "$place/kept.yaml"
rm "$kept" && ln "$place/base.img" "$kept"
expect_status "a second name is refused" 125 'second name' cf run "$place/kept.yaml"
rm "$kept" && expect_status "a new one is made" 0 'all well' cf run "$place/kept.yaml"
chmod g+w "$kept"
expect_status "one that others may write is refused" 125 'can be written by others than its owner \(mode 0620\)' cf run "$place/kept.yaml"
expect_status "by plan as well" 125 'can be written by others' cf plan "$place/kept.yaml"
chmod g-w "$kept"
expect_status "one that they may not is not" 0 'all well' cf run "$place/kept.yaml"
if [ "$(id -u)" = 0 ]; then
	chown 12345 "$kept"
	expect_status "another user's is refused" 125 'belongs to user 12345, who could write to the disk' env -u SUDO_UID "$cofferdam" --host "$place/host.yaml" run "$place/kept.yaml"
	expect_status "by plan as well" 125 'belongs to user 12345' env -u SUDO_UID "$cofferdam" --host "$place/host.yaml" plan "$place/kept.yaml"
else
	skip "to give a file away needs root"
fi
unchanged "after all that"

# NAME DISK SECTORS: what a guest writes at its disk's start is bytes to the next run, whatever format begins like that.
headed() {
	local magic
	for magic in fb494651 564d444b; do # QCOW2, VMDK
		policy "$1" "cmdline: quiet fill=1 begin=0x$magic" "disks: [{name: root, $2}]" >/dev/null
		expect_status "$1: a guest writes $magic" 0 'fill: 1 of 1 ' cf run "$place/$1.yaml"
		policy "$1" "cmdline: disk" "disks: [{name: root, $2}]" >/dev/null
		expect_status "$1: the next run reads it" 0 "first bytes $magic 5a5a5a5a" cf run "$place/$1.yaml"
		expect_status "$1: and has as many sectors" 0 "disk at .*: $3 sectors, read-write" cf run "$place/$1.yaml"
	done
}
echo "- headers of other formats"
rm "$kept"
truncate -s 1M "$place/raw.img"
headed raw 'path: raw.img, access: read-write' 2048
{ printf KDMV && head -c 4092 /dev/zero | tr '\0' Z && head -c $((1020 << 10)) /dev/zero; } | cmp - "$place/raw.img" &&
	pass "the image has what was written, and no more" || fail "the image has not what was written"
headed lain 'path: base.img, overlay: keep' 2052
unchanged "and the image under an overlay is as it was"
finish
