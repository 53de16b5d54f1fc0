#!/bin/bash
# Debian's unmodified kernel as the guest, on hardware KVM: this machine's, or the nested host's (tests/host/run).
# ROUNDS=full boots 50 times in a row, else 5.
. "$(dirname "$0")/lib.sh"
LIMIT=120
guest=$B/debian
cp "$guest/vmlinuz" "$guest/initrd.img" "$guest/root.erofs" "$place/"
boot() { # NAME VCPUS WORDS [LINE]...
	local name=$1 vcpus=$2 words=$3
	shift 3
	policy "$name" 'kernel: {path: vmlinuz}' 'initrd: {path: initrd.img}' "cmdline: \"console=hvc0 quiet $words\"" \
		"machine: {vcpus: $vcpus, memory: 512MiB}" 'disks: [{name: root, path: root.erofs}]' "$@"
}
# With two emulated processors, which the nested host no longer has, QEMU ended a guest by a triple fault at times (docs/devices.md).
# One that ends so under QEMU's emulation is still started once more, and that is told.
linux() {
	local output status
	output=$(cf run "$1" 2>&1 </dev/null)
	status=$?
	if [ $status = 123 ] && grep -q TCG /proc/cpuinfo; then
		echo "${1##*/}" >>"$place/again"
		output=$(cf run "$1" 2>&1 </dev/null)
		status=$?
	fi
	printf '%s\n' "$output"
	return $status
}
counts="1 2"
[ "${ROUNDS:-some}" = full ] && counts="1 2 4"
for n in $counts; do
	expect_status "boots with $n vCPUs and counts them, runs a script from its disk, powers off" 0 "^ +processors +$n\\b" linux "$(boot "linux$n" "$n" '')"
done
expect_status "the script's output, from a file of the disk" 0 "file +$(head -n 1 "$top/guest/debian/share/hello.txt")" linux "$(boot again 1 '')"
expect_status "reboot" 122 '' linux "$(boot reboot 1 cofferdam.run=reboot)"
expect_status "panic" 124 . linux "$(boot panic 1 cofferdam.run=panic)"
truncate -s 16M "$place/data.img"
expect_status "writes a disk and reads it back" 0 . linux "$(boot writes 2 cofferdam.run=write \
	'disks: [{name: root, path: root.erofs}, {name: data, path: data.img, access: read-write}]')"

boot button 1 cofferdam.run=wait 'control: {grace: 60s}' >/dev/null
linux_with_button() {
	cf run "$place/button.yaml" >"$place/button.out" 2>&1 </dev/null &
	waited=$!
	wait_for 60 grep -qiE 'power button|triple fault' "$place/button.out"
}
linux_with_button
if grep -q 'triple fault' "$place/button.out" && grep -q TCG /proc/cpuinfo; then
	echo button >>"$place/again"
	wait $waited
	linux_with_button
fi
grep -qi 'power button' "$place/button.out" || fail "the guest does not wait for its button" "$(cat "$place/button.out")"
expect_status "stop" 0 '' cf stop button
wait $waited
status=$?
[ $status = 0 ] && pass "the power button shuts Linux down" || fail "power button: status $status" "$(cat "$place/button.out")"

rounds=5
[ "${ROUNDS:-some}" = full ] && rounds=50
policy_file=$(boot many 1 'cofferdam.run=poweroff')
for i in $(seq "$rounds"); do
	output=$(linux "$policy_file") || { fail "boot $i of $rounds" "$output"; break; }
done
[ "$i" = "$rounds" ] && pass "$rounds boots in a row"
for log in "$place"/log/*.jsonl; do
	[ "${log##*/}" = host.jsonl ] && continue
	cf audit verify --pubkey "$(cf audit keygen)" --host-log "$place/log/host.jsonl" "$log" >/dev/null || fail "log $log is not sealed"
done
expect_clean "nothing left" many
[ ! -s "$place/again" ] || echo "  started once more, after a triple fault under emulation: $(tr '\n' ' ' <"$place/again")"
finish
