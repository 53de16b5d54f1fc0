#!/bin/bash
# Getting out of the jails: the prober's attempts are real, each layer refuses its own by itself, `cofferdam selftest`
# makes them in every jail, and one that succeeds fails it.
. "$(dirname "$0")/lib.sh"

echo "- without a jail every attempt succeeds, with a single layer those that it is for do not"
expect_status "control" 0 ' 0 wrong|skipped' timeout -k 5 900 "$B/jail-control"
expect_status "layers" 0 'layers: each by itself; 0 wrong|skipped' timeout -k 5 900 "$B/jail-layers"
if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi

jails=10
[ "$(id -u)" = 0 ] && [ -w /dev/net/tun ] && jails=11 # a network's as well
echo "- in the jails none does"
expect_status "selftest" 0 "^[0-9]+ attempts to get out of $jails jails, 0 not refused" cf selftest
cf selftest --json >"$place/evidence.json" 2>"$place/said" || fail "selftest --json" "$(cat "$place/said")"
count() { python3 -c '
import json, sys
evidence = json.load(open(sys.argv[1]))
attempts = evidence["attempts"]
assert evidence["passed"] and all(a["refused"] and a["stopped_by"] for a in attempts), "not all refused"
assert len({(a["class"], a["attempt"]) for a in attempts}) == len(attempts), "two of the same name"
jails = {jail for a in attempts for jail in a["stopped_by"]}
assert jails - {"eth0"} == {"auditor", "supervisor", "monitor", "vcpu", "console", "entropy", "balloon", "vsock", "data", "image"} and len(jails) == int(sys.argv[2]), jails
print(len(attempts))' "$place/evidence.json" "$jails"; }
if [ "$(count)" -ge 120 ]; then pass "evidence: $(count) different attempts, all refused"; else fail "evidence"; fi
expect_status "--verbose shows each" 0 "files: openat / +seccomp $jails" cf selftest --verbose

echo "- a jail with holes is found"
programs=$place/programs
mkdir -p "$programs"
cp "$B"/cofferdam-{supervisor,auditor,monitor,device} "$B/holed/cofferdam-prober" "$programs"
sed "/^folders:/a\  programs: \"$programs\"" "$place/host.yaml" >"$place/holed.yaml"
expect_status "holes fail the selftest" 1 '[0-9]+ not refused' "$cofferdam" --host "$place/holed.yaml" selftest
"$cofferdam" --host "$place/holed.yaml" selftest >"$place/holes" 2>&1
# A message to a process that has ended meanwhile is let through as well, by the jail.
through=$(($(sed -n 's/.* \([0-9]*\) not refused.*/\1/p' "$place/holes") + $(sed -n 's/.*holes.* EPIPE \([0-9]*\).*/\1/p' "$place/holes" | head -n 1) + 0))
[ "$through" = $((2 * jails)) ] && pass "all of them" || fail "$through of $((2 * jails)) holes" "$(cat "$place/holes")"
grep -q 'holes: an allowed call, in the jail of [a-z0-9]*: NOT STOPPED' "$place/holes" && pass "and are named" || fail "no name" "$(cat "$place/holes")"
grep -q 'holes: a program, in the jail of entropy: NOT STOPPED: it was executed' "$place/holes" && pass "so is a program that ran" || fail "no program" "$(cat "$place/holes")"
rm "$programs/cofferdam-prober"
expect_status "no prober, no selftest" 1 'FAILED getting out: cannot open the program' "$cofferdam" --host "$place/holed.yaml" selftest
[ -z "$(ls "$place/run" 2>/dev/null | grep -v slots)" ] && pass "nothing is left" || fail "files are left" "$(ls -la "$place/run")"
finish
