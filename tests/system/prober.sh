#!/bin/bash
# Getting out of the jails: the prober's attempts are real, each layer refuses its own by itself, `cofferdam selftest`
# makes them in every jail, and one that succeeds fails it.
. "$(dirname "$0")/lib.sh"

echo "- without a jail every attempt succeeds, with a single layer those that it is for do not"
expect_status "control" 0 ' 0 wrong|skipped' timeout -k 5 900 "$B/jail-control"
expect_status "layers" 0 'layers: each by itself; 0 wrong|skipped' timeout -k 5 900 "$B/jail-layers"

echo "- each request of KVM that this machine's headers know is among the attempts"
header=/usr/include/linux/kvm.h
sed -e :join -e '/\\$/{N;s/\\\n//;b join' -e '}' $header | sed -nE 's/^#define[[:space:]]+(KVM_[A-Z0-9_]+)[[:space:]]+_IO[WR]*\(KVMIO.*/\1/p' | sort -u >"$place/requests"
"$B/cofferdam-prober" --list | sed -n 's/^kvm requests\t//p' | sort -u >"$place/attempted"
untried=$(comm -23 "$place/requests" "$place/attempted")
if [ "$(wc -l <"$place/requests")" -lt 100 ]; then
	fail "$header has fewer requests than it should" "$(cat "$place/requests")"
elif [ -n "$untried" ]; then
	fail "no attempt at these requests of KVM" "$untried"
else
	pass "$(wc -l <"$place/attempted") requests"
fi
if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi

jails=11
[ "$(id -u)" = 0 ] && [ -w /dev/net/tun ] && jails=12 # a network's as well
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
assert jails - {"eth0"} == {"auditor", "supervisor", "monitor", "vcpu-0", "vcpu-1", "console", "entropy", "balloon", "vsock", "data", "image"} and len(jails) == int(sys.argv[2]), jails
print(len(attempts))' "$place/evidence.json" "$jails"; }
if [ "$(count)" -ge 120 ]; then pass "evidence: $(count) different attempts, all refused"; else fail "evidence"; fi
expect_status "--verbose shows each" 0 "files: openat / +seccomp $jails" cf selftest --verbose

echo "- a jail with holes is found"
programs=$place/programs
mkdir -p "$programs"
cp "$B"/cofferdam-{supervisor,auditor,monitor,device} "$B/holed/cofferdam-prober" "$programs"
sed "/^folders:/a\  programs: \"$programs\"" "$place/host.yaml" >"$place/holed.yaml"
expect_status "holes fail the selftest" 1 "$((2 * jails)) not refused" "$cofferdam" --host "$place/holed.yaml" selftest
expect_status "and are named" 1 'holes: an allowed call, in the jail of vcpu-1: NOT STOPPED' "$cofferdam" --host "$place/holed.yaml" selftest
expect_status "so is a program that ran" 1 'holes: a program, in the jail of entropy: NOT STOPPED: it was executed' "$cofferdam" --host "$place/holed.yaml" selftest
rm "$programs/cofferdam-prober"
expect_status "no prober, no selftest" 1 'FAILED getting out: cannot open the program' "$cofferdam" --host "$place/holed.yaml" selftest
[ -z "$(ls "$place/run" 2>/dev/null | grep -v slots)" ] && pass "nothing is left" || fail "files are left" "$(ls -la "$place/run")"
finish
