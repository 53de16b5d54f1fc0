#!/bin/bash
# cofferdam as an ordinary user: the built-in guest's tests (builtin.sh) with a range of ids from /etc/subuid and with a
# single one, and what is refused there unless the policy names it. Started by root, which plays the user (as-user).
# Where the user has no control group (v1), the tests' policies allow that by name.
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ] || [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
	skip "needs /dev/kvm, root and a mount namespace"
	finish
	exit
fi
here=$top/tests/system
chown -R 54321:54321 "$place"
as_user() { timeout -k 5 60 "$here/as-user" "$@"; }
user_cf() { as_user $range "$cofferdam" --host "$place/host.yaml" "$@"; }
[ -e /sys/fs/cgroup/cgroup.controllers ] && cgroup= || cgroup='no_cgroup: allow'

echo "- refused unless named"
policy bare >/dev/null
policy nogroup 'jail: {single_uid: allow}' >/dev/null
policy single "jail: {single_uid: allow, no_cgroup: allow}" >/dev/null
policy ranged "jail: {no_cgroup: allow}" >/dev/null
policy core 'jail: {single_uid: allow, no_cgroup: allow, smt: exclusive}' >/dev/null
chmod -R go-w "$place"
range=
expect_status "no range of ids" 125 'subuid.*single_uid: allow' user_cf run "$place/ranged.yaml"
if [ -n "$cgroup" ]; then
	expect_status "no control group" 125 'cap on .* cannot be had' user_cf run "$place/nogroup.yaml"
else
	expect_status "the delegated control group" 0 'all well' user_cf run "$place/nogroup.yaml"
fi
expect_status "a single id by name" 0 'all well' user_cf run "$place/single.yaml"
expect_status "the log has the groups that were kept" 0 'uid 54321 and gid 54321; groups kept: 54321 54322' cat "$place"/log/single-*.jsonl
expect_status "plan says the same: by name" 0 '^ +jail +uid 54321 alone' user_cf plan "$place/single.yaml"
expect_status "plan says the same: refused" 125 'single_uid: allow' user_cf plan "$place/ranged.yaml"
range=--range
expect_status "a range is used where there is one" 0 'all well' user_cf run "$place/single.yaml"
latest=$(ls -t "$place"/log/single-*.jsonl | head -1)
expect_status "and the log has no such exception" 1 '' grep -q 'groups kept' "$latest"
expect_status "smt: exclusive is no less refused" 125 'smt: exclusive' user_cf run "$place/core.yaml"

echo "- two runtime folders, one range of ids"
sed "s|$place/run|$place/other|" "$place/host.yaml" >"$place/other.yaml"
chmod go-w "$place/other.yaml"
policy one ${cgroup:+"jail: {$cgroup}"} 'cmdline: end=hang' >/dev/null
sed "s/^name: one$/name: two/" "$place/one.yaml" >"$place/two.yaml"
chmod go-w "$place/two.yaml"
uids() { grep -h '^Uid:' $(children "$1" | sed 's|.*|/proc/&/status|') | cut -f 2 | sort; }
start() { # HOST POLICY: sets launcher
	as_user --range "$cofferdam" --host "$1" run "$2" >"$2.out" 2>&1 </dev/null &
	wait_for 20 grep -q 'hello from ring 3' "$2.out" || { fail "$2 does not start" "$(cat "$2.out")"; return 1; }
	launcher=$(pgrep -o -f "^$cofferdam --host $1 run $2\$")
}
if [ "$(stat -c %a /run/lock 2>/dev/null)" != 1777 ]; then
	skip "this host has no /run/lock that everybody may write: the ids are locked in the runtime folder"
elif start "$place/host.yaml" "$place/one.yaml" && first=$launcher && start "$place/other.yaml" "$place/two.yaml"; then
	both=$(uids "$first"; uids "$launcher")
	if [ "$(wc -l <<<"$both")" = 12 ] && [ -z "$(uniq -d <<<"$(sort <<<"$both")")" ]; then
		pass "no two processes have one uid"
	else
		fail "processes of two VMs have one uid" "$both"
	fi
fi
for one in ${first-} ${launcher-}; do kill -9 "$one"; done
wait
network="networks: [{name: eth0, passt: on, addresses: [10.7.0.7], egress: [{to: 10.0.0.0/8, udp: [7]}]}]"
policy passt "jail: {single_uid: allow, no_cgroup: allow}" 'cmdline: network ip=10.7.0.7 peer=10.7.0.1' "$network" >/dev/null
policy tap "jail: {single_uid: allow, no_cgroup: allow}" "${network/passt: on/tap: cft8, create: {address: 10.7.0.1\}}" >/dev/null
chmod -R go-w "$place"
for range in '' --range; do
	if ip route get 192.0.2.1 >/dev/null 2>&1; then
		expect_status "passt ${range:-with a single id}" 0 'all well' user_cf run "$place/passt.yaml"
	else
		skip "passt as a user: this host has no route out"
	fi
	expect_status "a tap is refused ${range:-with a single id}" 125 'no permission for|cannot open /dev/net/tun' user_cf run "$place/tap.yaml"
done

for mode in --range ''; do
	jail=$cgroup
	[ -n "$mode" ] || jail="single_uid: allow${cgroup:+, $cgroup}"
	if output=$(JAIL="${jail:+jail: {$jail\}}" timeout -k 5 900 "$here/as-user" $mode "$here/builtin.sh" 2>&1); then
		pass "builtin.sh ${mode:-with a single id}"
		tail -1 <<<"$output"
	else
		fail "builtin.sh ${mode:-with a single id}" "$output"
	fi
done
rm -rf /run/lock/cofferdam-54321
finish
