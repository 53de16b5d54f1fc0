#!/bin/bash
# Kills every process of a VM, the launcher, the reader of its policy and the stager included, at its n-th system call,
# from the first of the start to the last of the stop, and looks for anything left (tests/jail/killer.c has the list).
# ROUNDS=full: every n; else every STEP-th, 7 when that is not said.
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ] || [ "$(id -u)" != 0 ]; then
	skip "needs /dev/kvm and root"
	finish
	exit
fi
make --no-print-directory -C "$top" B="$B" "$B/killer" >/dev/null || exit 1
policy killed 'cmdline: list end=button' 'console: {input: stdin}' >/dev/null
step=${STEP:-7}
[ "${ROUNDS:-some}" = full ] && step=1
if output=$(timeout -k 5 1500 "$B/killer" "$cofferdam" "$place/host.yaml" "$place/killed.yaml" killed "$place/run" $step 3 2>&1); then
	echo "$output"
	pass "nothing is left"
else
	fail "something is left, or the test did not end" "$output"
fi
finish
