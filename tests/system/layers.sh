#!/bin/bash
# Layers of the jail on kernels that lack one, or that say they did what they did not: what is required is refused, what
# the policy allows to be missing is in the log, and no process believes a layer that it could not verify. A seccomp
# filter around the whole of cofferdam plays the kernel (tests/jail/without.c).
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ] || [ "$(id -u)" != 0 ]; then
	skip "needs /dev/kvm and root"
	finish
	exit
fi
make --no-print-directory -C "$top" B="$B" "$B/without" >/dev/null || exit 1
without() { timeout -k 2 8 "$B/without" "$1" "$cofferdam" --host "$place/host.yaml" "${@:2}"; }
logged() { cat "$place/log/$1"-*.jsonl; }

echo "- what this host lacks"
policy usual >/dev/null
for what in landlock landlock-at-boot; do
	expect_status "no $what: refused" 125 'landlock' without $what run "$place/usual.yaml"
	policy "allowed-$what" 'jail: {no_landlock: allow}' >/dev/null
	expect_status "no $what: allowed by name" 0 'all well' without $what run "$place/allowed-$what.yaml"
	expect_status "no $what: in the log" 0 '"layers_absent":\[[^]]*"landlock"' logged "allowed-$what"
done
expect_status "Landlock is used where it is, allowed or not" 0 'all well' cf run "$(policy spare 'jail: {no_landlock: allow}')"
expect_status "and the log says so" 0 '"layers":\[[^]]*"landlock"' logged spare
policy nomdwe >/dev/null
expect_status "no memory-deny-write-execute" 0 'all well' without mdwe run "$place/nomdwe.yaml"
expect_status "is in the log" 0 '"layers_absent":\[[^]]*"mdwe"' logged nomdwe

echo "- smt: exclusive"
policy alone 'jail: {smt: exclusive}' >/dev/null
expect_status "no core scheduling" 125 'smt: exclusive.*no core scheduling' without core-scheduling run "$place/alone.yaml"
expect_status "no SMT" 125 'smt: exclusive.*two threads' without smt run "$place/alone.yaml"
if out=$(cf run "$place/alone.yaml" 2>&1 </dev/null); then
	expect_status "core scheduling is verified" 0 '"core_scheduling"' logged alone
elif grep -q 'smt: exclusive' <<<"$out"; then
	pass "this kernel cannot: refused"
else
	fail "smt: exclusive" "$out"
fi

echo "- a kernel that lies is not believed"
# (Landlock is the first to miss no_new_privs.)
while read -r what pattern; do
	expect_status "$what" 125 "$pattern" without "true-$what" run "$place/usual.yaml"
done <<-END
	landlock \(landlock\)
	mdwe \(mdwe\)
	not-dumpable \(dumpable\)
	no-new-privs \(landlock\)
	bounding-set \(capabilities\)
	uid \(ids\)
	gid \(ids\)
	limits \(rlimits\)
	root \(root\)
	host-name \(namespaces\)
	seccomp \(seccomp\)
	close-range descriptor
END
expect_status "core-scheduling" 125 '\(core_scheduling\)' without true-core-scheduling run "$place/alone.yaml"

echo "- ids"
many=50
for n in $(seq $many); do policy "many$n" 'cmdline: list end=button' 'machine: {vcpus: 1, memory: 16MiB}' >/dev/null; done
sed "s,$place/run,$place/run2," "$place/host.yaml" >"$place/host2.yaml"; cp "$place/host.yaml" "$place/host0.yaml" # another runtime folder, the same ids
launchers=()
for n in $(seq $many); do
	"$cofferdam" --host "$place/host$((n % 2 ? 2 : 0)).yaml" run "$place/many$n.yaml" >/dev/null 2>"$place/many$n.err" </dev/null &
	launchers+=($!)
done
uids_of() { for p in $(children_of "$@"); do sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$p/status"; done; }
# Who writes the host's log is a child of the launcher's as well, for a moment.
children_of() { local IFS=,; ps -o pid=,args= --ppid "$*" | sed -n 's/^ *\([0-9]*\) cofferdam-.*/\1/p'; }
all_locked() { [ "$(cat "$place"/log/many*.jsonl 2>/dev/null | grep -c '"event_code":"process_started"')" = $((6 * many)) ]; }
if wait_for 120 all_locked; then
	distinct=$(uids_of "${launchers[@]}" | sort -u | wc -l)
	if [ "$distinct" = $((6 * many)) ]; then pass "$many VMs started at once: every process has a uid of its own"; else
		fail "$((6 * many)) processes of $many VMs have $distinct uids"
	fi
	mapfile -t pids < <(children_of "${launchers[@]}")
	for kind in user mnt net ipc uts cgroup pid; do
		distinct=$(readlink $(printf "/proc/%s/ns/$kind " "${pids[@]}") | sort -u | grep -vcxF "$(readlink "/proc/self/ns/$kind")")
		if [ "$distinct" = $many ]; then pass "each has a $kind namespace of its own"; else
			fail "$many VMs have $distinct $kind namespaces beside the host's"
		fi
	done
else
	fail "$many VMs at once do not start" "$(cat "$place"/many*.err)"
fi
kill -TERM "${launchers[@]}"
wait "${launchers[@]}"

echo "- control group"
if unshare -m true 2>/dev/null; then
	bare() { unshare -m sh -c 'umount -R /sys/fs/cgroup && exec "$@"' sh "$cofferdam" --host "$place/host.yaml" "$@"; }
	expect_status "none: refused" 125 'cap on .* cannot be had' bare run "$place/usual.yaml"
	expect_status "none: allowed by name" 0 'all well' bare run "$(policy uncapped 'jail: {no_cgroup: allow}')"
	expect_status "none: in the log" 0 '"jail_exception".*cannot be had' logged uncapped
else
	skip "no control group: needs a mount namespace"
fi
finish
