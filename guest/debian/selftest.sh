#!/bin/bash
# What the Debian guest promises (see make-guest and init), shown in a QEMU microvm: like cofferdam's own machines it
# has virtio-mmio devices described by ACPI, and no PCI. Works without /dev/kvm; with --kvm uses it.
#
#   selftest.sh [--kvm] [OUTDIR]      OUTDIR: of make-guest, default $B/debian
#
# Prints a line for each promise; fails with the first one broken. Each boot is bounded in time. Writes in $B only.
# shellcheck disable=SC2054  # QEMU's options have commas
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
B=$(realpath -m "${B:-$here/../../build}")
accel=(-accel tcg -cpu max)
# An emulated machine without HPET or PM timer sometimes fails to measure its clock, and then hangs: so tell it.
clock=tsc_early_khz=2000000
# Its firmware doesn't take a jump to the reset vector as a reset, which is how this kernel restarts such a machine.
restart=reboot=t
if [[ ${1-} == --kvm ]]; then accel=(-accel kvm -cpu host) clock='' && shift; fi
guest=${1:-$B/debian}
B=$B "$here/make-guest" "$guest"

mkdir -p "$B"
work=$(mktemp -d "$B/guest-selftest.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkfifo "$work/qmp.in"
exec 7<>"$work/qmp.in"

promise() { # NAME COMMAND...
	if "${@:2}"; then echo "ok: $1"; else echo "FAILED: $1" && cat "$work/console" "$work/qmp.out" && exit 1; fi
}
is() { [[ $1 == "$2" ]] || { echo "is '$1', not '$2'" >&2 && return 1; }; }
says() { grep -Eq -- "$1" "$work/console"; }
event() { grep -Eq -- "\"event\": \"$1\"" "$work/qmp.out"; }
ended() { grep -q "\"reason\": \"$1\"" "$work/qmp.out"; }

# Boots until QEMU ends: the console is in $work/console, QEMU's events in $work/qmp.out, its status in $status. The
# power button is pressed as soon as the guest says that it waits.
run_qemu() {
	local line started=$EPOCHREALTIME
	: >"$work/qmp.out"
	echo '{"execute": "qmp_capabilities"}' >&7
	while IFS= read -r line; do
		echo "${line%$'\r'}"
		[[ $line == *'waiting for the power button'* ]] && echo '{"execute": "system_powerdown"}' >&7
	done < <(
		status=0
		timeout -k 5 300 setpriv --pdeathsig KILL qemu-system-x86_64 -nodefaults -no-user-config -display none \
			-no-reboot -chardev stdio,id=console -chardev "pipe,id=qmp,path=$work/qmp" \
			-mon chardev=qmp,mode=control -kernel "$guest/vmlinuz" -initrd "$guest/initrd.img" \
			"$@" </dev/null 2>&1 || status=$?
		echo $status >"$work/status"
	) >"$work/console"
	status=$(<"$work/status")
	printf '(%.1f s) ' "$(bc <<<"$EPOCHREALTIME - $started")"
}
boot() { # WHAT [OPTION...]
	run_qemu -M microvm,acpi=on,rtc=on "${accel[@]}" -smp 2 -m 512M -global virtio-mmio.force-legacy=false \
		-append "console=hvc0 quiet panic=-1 $clock $restart cofferdam.run=$1" \
		-device virtio-serial-device -device virtconsole,chardev=console \
		-drive "if=none,id=root,format=raw,readonly=on,file=$guest/root.erofs" \
		-device virtio-blk-device,drive=root,serial=root \
		-device virtio-rng-device -device isa-debug-exit,iobase=0x501,iosize=1 "${@:2}"
}

boot demo -netdev user,id=net -device virtio-net-device,netdev=net -device virtio-balloon-device
promise "the demo runs" says '^Hello from a Debian guest'
promise "and ends cleanly" ended guest-shutdown
promise "with status 0" is "$status" 0
promise "the kernel is Debian's" says '^  kernel +6.*-cloud-amd64'
promise "both processors run" says '^  processors +2'
promise "the console is there" says '^  virtio. +console \(driver virtio_console\)'
promise "the disk is there, read-only" says '^  vda +.*, read-only'
promise "the network is there" says '^  virtio. +network \(driver virtio_net\) eth0'
promise "the balloon is there" says '^  virtio. +balloon \(driver virtio_balloon\)'
promise "entropy comes from the device" says '^  entropy +[0-9a-f]{32}$'
promise "a file comes from the disk" says '^  file +A file on the disk image'

truncate -s 8M "$work/data"
boot write -drive "if=none,id=data,format=raw,file=$work/data" -device virtio-blk-device,drive=data
promise "the second disk is written" says '^write: 4 MiB on /dev/vdb written and read back'
promise "in truth" is "$(head -c 18 "$work/data")" 'cofferdam was here'

boot "demo root=serial:other" -drive "if=none,id=other,format=raw,readonly=on,file=$guest/root.erofs" \
	-device virtio-blk-device,drive=other,serial=other
promise "the root disk may be named" says '^Goodbye'

boot wait
promise "the power button ends it cleanly" ended guest-shutdown
promise "with status 0" is "$status" 0

boot /bin/false
promise "a status reaches the exit register" is "$status" 3 # QEMU's device ends with 2 * status + 1

boot reboot
promise "reboot resets the machine" ended guest-reset

boot panic
promise "panic panics" says 'Kernel panic - not syncing: sysrq triggered crash'
promise "and resets the machine" ended guest-reset

# QEMU's panic device is on another machine, where the guest finds no root disk: a panic of its own.
run_qemu -M q35 "${accel[@]}" -m 512M -device pvpanic -serial chardev:console -append "console=ttyS0 quiet panic=-1 $restart"
promise "the panic device is told" event GUEST_PANICKED
echo "all promises of the Debian guest hold"
