#!/bin/bash
# Getting out of the jails: the prober's attempts are real, each layer refuses its own by itself, `cofferdam selftest`
# makes them in every jail of root's VM and of an ordinary user's, and one that succeeds fails it.
. "$(dirname "$0")/lib.sh"

echo "- without a jail every attempt succeeds, with a single layer those that it is for do not"
# expect_tried NAME PATTERN SECONDS PROGRAM: what it says that it could not try counts as skipped.
said() { timeout -k 5 "$1" "$2" >"$place/tried" 2>&1; local status=$?; cat "$place/tried"; return $status; }
expect_tried() {
	expect_status "$1" 0 "$2" said "$3" "$4"
	while read -r line; do skip "${line#skipped: }"; done < <(grep '^ *skipped: ' "$place/tried")
}
expect_tried "control" '^control: .*; 0 wrong$|skipped: without a jail: needs root$' 1500 "$B/jail-control"
expect_tried "layers" '^layers: each by itself; 0 wrong$|skipped: single layers: need root$' 900 "$B/jail-layers"

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
if ! [ -w /dev/kvm ] || [ "$(id -u)" != 0 ]; then
	skip "needs root and a usable /dev/kvm"
	finish
	exit
fi

LIMIT=300
names="auditor supervisor monitor vcpu-0 vcpu-1 console entropy balloon vsock data image kept passt"
[ -w /dev/net/tun ] && names+=" eth0"
jails=$(wc -w <<<"$names")
echo "- in the jails none does"
expect_status "selftest" 0 "^[0-9]+ attempts to get out of $jails jails, 0 not refused" cf selftest
cf selftest --json >"$place/evidence.json" 2>"$place/said" || fail "selftest --json" "$(cat "$place/said")"

# evidence FILE [HOW]...: all was refused, in just the jails of $names (each HOW: of another VM), with so many attempts in each.
evidence() { python3 - "$1" "$names" "${@:2}" <<'END'
import json, sys
path, names, *ways = sys.argv[1:]
LEAST = {"monitor": 680, "vcpu-0": 680, "vcpu-1": 680}  # KVM's own descriptors as well
LEAST_OF_ALL, LEAST_OF_KVM = 625, 150
evidence = json.load(open(path))
attempts = evidence["attempts"]
assert evidence["passed"] and all(a["refused"] and a["stopped_by"] for a in attempts), "not all refused"
assert len({(a["class"], a["attempt"]) for a in attempts}) == len(attempts), "two of the same name"
wanted = {name + way: name for name in names.split() for way in ways}
made = {jail: [a for a in attempts if jail in a["stopped_by"]] for jail in evidence["jails"]}
assert made.keys() == wanted.keys(), made.keys() ^ wanted.keys()
for jail, name in wanted.items():
    assert evidence["jails"][jail] == {"attempts": len(made[jail]), "not_refused": 0}, (jail, evidence["jails"][jail])
    assert len(made[jail]) >= LEAST.get(name, LEAST_OF_ALL), (jail, len(made[jail]))
    requests = [a["stopped_by"][jail] for a in made[jail] if a["class"] == "kvm requests"]
    assert len(requests) >= LEAST_OF_KVM and set(requests) == {"seccomp"}, (jail, requests)
print(f"{len(attempts)} different attempts, all refused in {len(made)} jails")
END
}
if found=$(evidence "$place/evidence.json" "" 2>&1); then pass "evidence: $found"; else fail "evidence" "$found"; fi
cf selftest --verbose >"$place/shown" 2>&1 || fail "selftest --verbose" "$(cat "$place/shown")"
expect_status "--verbose shows each attempt" 0 . grep -E "files: openat / +seccomp $jails\$" "$place/shown"
# stopped FILE: each attempt's line says how often it was stopped by what, and the lines below which jails those were, but
# for the commonest answer's.
stopped() { python3 - "$1" "$names" <<'END'
import re, sys
path, names = sys.argv[1:]
ANSWER = r"(seccomp, killed|seccomp|an unknown error|E[A-Z0-9]+) ([0-9]+)"
below, attempts, rarer = None, 0, 0

def check():
    global rarer
    if below is None:
        return
    line, counts, jails = below
    named = [name for of in jails.values() for name in of]
    assert len(set(named)) == len(named) and set(named) <= set(names.split()), (line, jails)
    (commonest,) = counts.keys() - jails.keys()
    assert counts[commonest] == max(counts.values()), (line, commonest)
    assert all(counts[answer] == len(of) for answer, of in jails.items()), (line, jails)
    rarer += len(jails)

for line in open(path).read().splitlines() + ["passed"]:
    jails = re.fullmatch(r" {7}(.+) in the jails? of (.+)", line)
    if jails:
        assert jails[1] not in below[2], line
        below[2][jails[1]] = jails[2].split(", ")
        continue
    check()
    answers = re.search(f" ({ANSWER}(, {ANSWER})*)$", line)
    below = (line, {answer: int(count) for answer, count in re.findall(ANSWER, answers[1])}, {}) if answers else None
    attempts += answers is not None
assert attempts >= 625 and rarer > 0, (attempts, rarer)
print(f"{attempts} attempts, {rarer} times stopped in some jails otherwise than in most")
END
}
if found=$(stopped "$place/shown" 2>&1); then pass "with the jails: $found"; else fail "the jails that stopped an attempt" "$found"; fi
# The auditor alone may ask of the clock whether it is synchronised.
expect_status "such as the clock's" 0 '^ {7}E[A-Z]+ in the jail of auditor$' grep -A 1 'host: adjtimex ' "$place/shown"
for name in $names; do
	expect_status "and the jail of $name" 0 . grep -E "^passed in the jail of $name: [0-9]+ attempts, 0 not refused\$" "$place/shown"
done

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
grep -q 'holes: an allowed call, in the jail of [a-z0-9-]*: NOT STOPPED' "$place/holes" && pass "and are named" || fail "no name" "$(cat "$place/holes")"
grep -q 'holes: a program, in the jail of entropy: NOT STOPPED: it was executed' "$place/holes" && pass "so is a program that ran" || fail "no program" "$(cat "$place/holes")"
rm "$programs/cofferdam-prober"
expect_status "no prober, no selftest" 1 'FAILED getting out: cannot open the program' "$cofferdam" --host "$place/holed.yaml" selftest
[ -z "$(ls "$place/run" 2>/dev/null | grep -v slots)" ] && pass "nothing is left" || fail "files are left" "$(ls -la "$place/run")"

echo "- nor in those of an ordinary user's VMs"
as_user() { timeout -k 5 "$LIMIT" "$top/tests/system/as-user" "$@" "$cofferdam" --host "$place/host.yaml" selftest --json; }
names=${names% eth0}
chown -R 54321:54321 "$place"
if ! unshare -m true 2>/dev/null; then
	skip "needs a mount namespace"
else
	as_user --range >"$place/ranged.json" 2>"$place/said" || fail "selftest of a user with a range of uids" "$(cat "$place/said")"
	if found=$(evidence "$place/ranged.json" "" " (single uid)" 2>&1); then pass "with a range of uids and with one: $found"; else fail "with a range of uids and with one" "$found"; fi
	as_user >"$place/single.json" 2>"$place/said" || fail "selftest of a user without one" "$(cat "$place/said")"
	if found=$(evidence "$place/single.json" " (single uid)" 2>&1); then pass "with a single uid: $found"; else fail "with a single uid" "$found"; fi
	rm -rf /run/lock/cofferdam-54321
fi
finish
