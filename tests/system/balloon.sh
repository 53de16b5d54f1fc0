#!/bin/bash
# What a guest gives up is the host's again, by the host's own count of the pages of guest memory; and what the policy does
# not grant the guest does not find.
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi

# MiB of guest RAM that the host keeps: the blocks of the memory file that the balloon's process holds as descriptor 4.
kept() { echo $(($(stat -Lc %b "/proc/$1/fd/4") * 512 >> 20)); }
launcher=0
start() {
	"$cofferdam" --host "$place/host.yaml" run "$place/$1.yaml" </dev/null >"$place/$1.out" 2>&1 &
	launcher=$!
	wait_for 30 grep -q "$2" "$place/$1.out" && return
	fail "$1: the guest does not say '$2'" "$(cat "$place/$1.out")"
	return 1
}
stop() { kill -TERM "$launcher"; wait "$launcher"; }
balloon_of() { pgrep -P "$launcher" -f '^cofferdam-device' | tail -n 1; }

policy given 'cmdline: balloon end=button' 'machine: {vcpus: 1, memory: 64MiB}' 'balloon: {minimum: 32MiB}' >/dev/null
if start given 'waiting for the power button'; then
	kept=$(kept "$(balloon_of)")
	if [ "$kept" -le 16 ]; then pass "the host has reported pages back"; else fail "the host still keeps $kept MiB of 64"; fi
	says() { cf inspect given | grep -q 'balloon, minimum 32MiB, free 32MiB, available 64MiB, total 96MiB, free pages reported'; }
	if wait_for 10 says; then pass "inspect shows what the driver said"; else fail "inspect" "$(cf inspect given)"; fi
	stop && pass "and it ends" || fail "its end" "$(cat "$place/given.out")"
fi

policy unreported 'cmdline: balloon end=button' 'machine: {vcpus: 1, memory: 64MiB}' 'balloon: {minimum: 32MiB, reporting: off}' >/dev/null
if start unreported 'waiting for the power button'; then
	kept=$(kept "$(balloon_of)")
	if [ "$kept" -ge 32 ]; then pass "without reporting the host keeps what the guest has written"; else fail "the host keeps $kept MiB"; fi
	stop && pass "and it ends" || fail "its end" "$(cat "$place/unreported.out")"
fi

policy follows 'cmdline: quiet balloon=2 end=button' 'machine: {vcpus: 1, memory: 64MiB}' 'balloon: {minimum: 32MiB}' >/dev/null
if start follows 'ready for the host'; then
	device=$(balloon_of)
	before=$(kept "$device")
	expect_status "no more than the policy's minimum" 1 'leaves the guest more' cf set follows machine.memory=30MiB
	expect_status "the policy allows no more than it has" 1 'allows no more' cf set follows machine.memory=66MiB
	expect_status "the guest is asked for 24 MiB" 0 '' cf set follows machine.memory=40MiB
	wait_for 20 grep -q 'holds 6144 pages' "$place/follows.out" || fail "it does not give them" "$(cat "$place/follows.out")"
	kept=$(kept "$device")
	if [ $((before - kept)) -ge 23 ]; then pass "they are the host's"; else fail "the host keeps $kept MiB, of $before before"; fi
	holds() { cf inspect follows | grep -q 'balloon, minimum 32MiB, held 24MiB'; }
	if wait_for 10 holds; then pass "inspect says so"; else fail "inspect" "$(cf inspect follows)"; fi
	expect_status "it gets them again" 0 '' cf set follows machine.memory=64MiB
	wait_for 20 grep -q 'holds 0 pages' "$place/follows.out" && pass "and takes them" || fail "it does not take them" "$(cat "$place/follows.out")"
	stop && pass "and it ends" || fail "its end" "$(cat "$place/follows.out")"
	expect_status "the log has the change" 0 'RAM without the balloon' cf audit show "$(ls "$place"/log/follows-*.jsonl)"
fi

policy none 'cmdline: balloon' >/dev/null
expect_status "without a balloon in the policy there is none" 1 'FAILED: there is no balloon' cf run "$place/none.yaml"
policy hostile 'cmdline: break reset-devices=20' 'machine: {vcpus: 2, memory: 64MiB}' 'balloon: {minimum: 32MiB}' >/dev/null
expect_status "a driver that breaks it, and resets it at work" 0 'broken: virtio balloon asked for a reset each time' cf run "$place/hostile.yaml"
finish
