#!/bin/bash
# Layers of the jail on kernels that lack one, or that say they did what they did not: what is required is refused, what
# the policy allows to be missing is in the log, and no process believes a layer that it could not verify. A seccomp
# filter around the whole of cofferdam plays the kernel, or a mount over one of its files (tests/jail/without.c).
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ] || [ "$(id -u)" != 0 ]; then
	skip "needs /dev/kvm and root"
	finish
	exit
fi
make --no-print-directory -C "$top" B="$B" "$B/without" >/dev/null || exit 1
without() { timeout -k 2 8 "$B/without" "$1" "$cofferdam" --host "$place/host.yaml" "${@:2}"; }
logged() { cat "$place/log/$1"-*.jsonl; }
# over PATH WHAT ...: with a mount of WHAT, mount's words, over PATH.
over() { unshare -m sh -c 'path=$0 what=$1; shift; mount $what "$path" && exec "$@"' "$1" "$2" timeout -k 2 8 "$cofferdam" --host "$place/host.yaml" "${@:3}"; }
no_more=/proc/sys/user/max_user_namespaces
hosts() { cat $no_more /proc/sys/kernel/hostname; }
hosts=$(hosts)

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
policy controlled >/dev/null
expect_status "speculation controls, where there are some" 0 'all well' without nothing-but-speculation run "$place/controlled.yaml"
expect_status "are verified" 0 '"layers":\[[^]]*"speculation"' logged controlled
policy nomdwe >/dev/null
expect_status "no memory-deny-write-execute" 0 'all well' without mdwe run "$place/nomdwe.yaml"
expect_status "is in the log" 0 '"layers_absent":\[[^]]*"mdwe"' logged nomdwe
abi=$(python3 -c 'import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))') # landlock_create_ruleset: the version
expect_status "and so is Landlock's version" 0 "\"landlock_version\":$abi\b" logged nomdwe
expect_status "or that there is none" 0 '"landlock_version":0\b' logged allowed-landlock
for what in memory-seal true-memory-seal; do
	policy $what >/dev/null
	expect_status "no seal against executing memory files ($what)" 0 'all well' without $what run "$place/$what.yaml"
	expect_status "is in the log ($what)" 0 '"layers_absent":\[[^]]*"memory_files"' logged $what
done
while read -r what pattern; do
	expect_status "no $what: refused" 125 "$pattern" without "$what" run "$place/usual.yaml"
done <<-END
	namespaces make the VM.s namespaces: .*the kernel lacks one of
	cgroup-namespace make the VM.s cgroup namespace
	pid-namespace make the VM.s pid namespace
	root pivot_root does not work
	bounding-set \(capabilities\)|drop the capability bounding set
	capset drop the capabilities
	not-dumpable \(dumpable\)
	seccomp \(seccomp\)
	room-for-keys leave the launcher.s keyring: .*too many keys
END
expect_status "no keys at all" 0 'all well' without keyrings run "$place/usual.yaml"
if unshare -m true 2>/dev/null; then
	expect_status "no user.max_user_namespaces: refused" 125 'forbid further user namespaces in the VM.s: .*the kernel lacks' \
		over "${no_more%/*}" '-t tmpfs none' run "$place/usual.yaml"
else
	skip "no user.max_user_namespaces: needs a mount namespace"
fi

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
# On a kernel that can, as far as processes see: each thread of two VMs; the kernel's own worker was born unseen.
cookie=()
for n in 1 2; do policy "core$n" 'jail: {smt: exclusive}' 'machine: {vcpus: 2, memory: 16MiB}' 'cmdline: list end=button' >/dev/null; done
COOKIES=$place/cookies timeout -k 2 90 "$B/without" nothing-but-cores bash -c '
	for n in 1 2; do "$0" --host "$1/host.yaml" run "$1/core$n.yaml" >"$1/core$n.out" 2>&1 </dev/null & done
	wait' "$cofferdam" "$place" &
both=$!
run_both() { grep -q 'power button' "$place/core1.out" && grep -q 'power button' "$place/core2.out"; }
cookies_of() { # NAME: of every thread of a running VM, one on a line
	local pid task
	for pid in $(cf inspect --json "$1" | grep -oE '"pid": ?[0-9]+' | grep -oE '[0-9]+'); do
		for task in /proc/"$pid"/task/*; do
			grep -q '^kvm-' "$task/comm" || sed -n "s/^${task##*/} //p" "$place/cookies" | grep . || echo unknown
		done
	done
}
if wait_for 60 run_both; then
	for n in 1 2; do
		cookies=$(cookies_of "core$n")
		threads=$(wc -l <<<"$cookies")
		cookie[n]=$(sort -u <<<"$cookies")
		if [ "$threads" = 8 ] && [[ ${cookie[n]} =~ ^[1-9][0-9]*$ ]]; then pass "all $threads threads of a VM have one cookie"; else fail "$threads threads of a VM, not 8, have these cookies" "$cookies"; fi
	done
	if [ "${cookie[1]}" != "${cookie[2]}" ]; then pass "another VM's have another"; else fail "two VMs have one cookie" "${cookie[1]}"; fi
	expect_status "core scheduling: verified" 0 '"core_scheduling"' logged core1
else
	fail "smt: exclusive, on a kernel that can" "$(cat "$place"/core[12].out)"
fi
for n in 1 2; do cf stop "core$n" >/dev/null 2>&1; done
wait $both

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
	securebits \(capabilities\)
	uid \(ids\)
	gid \(ids\)
	limits \(rlimits\)
	root \(root\)
	host-name \(namespaces\)
	seccomp \(seccomp\)
	speculation \(speculation\)
	close-range descriptor
	keyrings leave the launcher.s keyring
	capset cannot give up capabilities|\(capabilities\)
	user-namespace leave the launcher.s user namespace: the kernel says
	mount-namespace leave the launcher.s mount namespace: the kernel says
	network-namespace leave the launcher.s network namespace: the kernel says
	ipc-namespace leave the launcher.s ipc namespace: the kernel says
	uts-namespace leave the launcher.s uts namespace: the kernel says
	cgroup-namespace leave the launcher.s cgroup namespace: the kernel says
	pid-namespace \(namespaces\)
	auditors-pid-namespace \(namespaces\)
	read-only-root \(root\)
	nosuid-root \(root\)
	nodev-root \(root\)
	noexec-root \(root\)
END
grouped() { setpriv --groups 7 timeout -k 2 8 "$B/without" "$1" "$cofferdam" --host "$place/host.yaml" "${@:2}"; }
if [ "$abi" -ge 6 ]; then
	for what in network scope; do expect_status "landlock: $what" 125 '\(landlock\)' without "true-landlock-$what" run "$place/usual.yaml"; done
else
	skip "landlock: network and scope: this kernel has version $abi"
fi
expect_status "addresses, of a launcher that has fixed ones" 125 'random addresses: the kernel says' setarch -R "$B/without" true-addresses "$cofferdam" --host "$place/host.yaml" run "$place/usual.yaml"
if [ "$(nice -n -40 nice 2>/dev/null)" = -20 ]; then
	expect_status "priority, of a launcher that has one" 125 'wait in line .*: the kernel says' nice -n -40 "$B/without" true-priority "$cofferdam" --host "$place/host.yaml" run "$place/usual.yaml"
else
	skip "priority, of a launcher that has one: needs the right"
fi
expect_status "groups, of a launcher that has one" 125 '\(ids\)' grouped true-groups run "$place/usual.yaml"
unlocked() { timeout -k 2 8 "$B/without" landlock "$B/without" "$1" "$cofferdam" --host "$place/host.yaml" "${@:2}"; }
expect_status "no-new-privs, without Landlock" 125 '\(no_new_privs\)' unlocked true-no-new-privs run "$place/allowed-landlock.yaml"
if unshare -m true 2>/dev/null; then
	mkdir -m 777 "$place/user" # the folder: the file below it is another in each user namespace
	: >"$place/user/${no_more##*/}"
	chmod 666 "$place/user/${no_more##*/}"
	expect_status "max_user_namespaces" 125 '\(namespaces\)' over "${no_more%/*}" "--bind $place/user" run "$place/usual.yaml"
	expect_status "which was written to" 0 '^0' cat "$place/user/${no_more##*/}"
else
	skip "max_user_namespaces: needs a mount namespace"
fi
if [ "$(hosts)" = "$hosts" ]; then pass "the host's own are as they were"; else
	fail "the host's limit on user namespaces or its name is another" "$(hosts)"
	head -1 <<<"$hosts" >$no_more
fi
expect_status "core-scheduling" 125 '\(core_scheduling\)' without true-core-scheduling run "$place/alone.yaml"

echo "- ids"
many=50
[ "$(nproc)" -gt 1 ] || many=16 # one processor, which may be emulated, has to start them all before the first one's patience is over
for n in $(seq $many); do policy "many$n" 'cmdline: list end=button' 'machine: {vcpus: 1, memory: 16MiB}' >/dev/null; done
sed "s,$place/run,$place/run2," "$place/host.yaml" >"$place/host2.yaml"; cp "$place/host.yaml" "$place/host0.yaml" # another runtime folder, the same ids
launchers=()
for n in $(seq $many); do
	"$cofferdam" --host "$place/host$((n % 2 ? 2 : 0)).yaml" run "$place/many$n.yaml" >/dev/null 2>"$place/many$n.err" </dev/null &
	launchers+=($!)
done
uids_of() { for p in $(children_of "$@"); do sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$p/status"; done; }
# Who writes the host's log is a child of the launcher's as well.
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
		wanted=$many
		[ $kind != pid ] || wanted=$((2 * many)) # the auditor's
		if [ "$distinct" = $wanted ]; then pass "each has a $kind namespace of its own"; else
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
