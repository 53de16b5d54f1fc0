#!/bin/bash
# Kills every process of a VM, the launcher, the reader of its policy, the stager, passt and the writer of the host's log
# included, and newuidmap and newgidmap where an ordinary user has started it, at its n-th system call, from the first of
# the start to the last of the stop, and looks for anything left (tests/jail/killer.c has the list). In a network
# namespace of its own, out of which leads a tap that nobody reads.
# ROUNDS=full: every n; else every STEP-th, 13 when that is not said.
[ -n "${INSIDE:-}" ] || [ "$(id -u)" != 0 ] || ! [ -w /dev/net/tun ] || INSIDE=yes exec unshare --net "$0" "$@"
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ] || [ "$(id -u)" != 0 ]; then
	skip "needs /dev/kvm and root"
	finish
	exit
fi
make --no-print-directory -C "$top" B="$B" "$B/killer" >/dev/null || exit 1
networks=
lacks=()
if [ -n "${INSIDE:-}" ]; then
	ip link set lo up && ip tuntap add cft9 mode tap && ip addr add 10.9.0.1/24 dev cft9 && ip link set cft9 up &&
		ip route add default via 10.9.0.2 || exit 1
	networks='networks: [{name: eth0, tap: cfk0, create: {address: 10.7.0.1}, addresses: [10.7.0.7]}, {name: eth1, passt: on, addresses: [10.8.0.7]}]'
else
	skip "networks: no /dev/net/tun"
	lacks=(no-tap no-passt)
fi
mkdir -m 700 "$place/sockets"
all=('cmdline: list end=button' ${networks:+"$networks"} 'balloon: {minimum: 32MiB}' "vsock: {cid: $((3000 + $$)), path: sockets/v}")
step=${STEP:-13}
[ "${ROUNDS:-some}" = full ] && step=1
policy killed "${all[@]}" 'console: {input: stdin}' 'audit: {on_failure: halt}' >/dev/null
if output=$(timeout -k 5 3000 "$B/killer" "$cofferdam" "$place/host.yaml" "$place/killed.yaml" killed "$place/run" "$place/log" $step 3 "${lacks[@]}" 2>&1); then
	echo "$output"
	pass "nothing is left"
else
	fail "something is left, or the test did not end" "$output"
fi
# The same for `run --detach`: who started it, and the launcher that goes on.
policy killed "${all[@]}" >/dev/null
if output=$(timeout -k 5 1500 "$B/killer" "$cofferdam" "$place/host.yaml" "$place/killed.yaml" killed "$place/run" "$place/log" $step 3 detach "${lacks[@]}" 2>&1); then
	echo "$output"
	pass "nothing is left of one that is detached"
else
	fail "something is left of one that is detached, or the test did not end" "$output"
fi
# The same for one that an ordinary user starts (as-user): the start alone is another.
if unshare -m true 2>/dev/null; then
	user=54321
	chmod 755 "$place"
	install -d -o $user -g $user "$place/user" "$place/run-user" "$place/log-user"
	install -d -m 700 -o $user -g $user "$place/user/sockets"
	sed "s|$place/run|$place/run-user|; s|$place/log|$place/log-user|" "$place/host.yaml" >"$place/user/host.yaml"
	jail=
	[ -e /sys/fs/cgroup/cgroup.controllers ] || jail='jail: {no_cgroup: allow}'
	policy killed 'cmdline: list end=button' 'balloon: {minimum: 32MiB}' "vsock: {cid: $((3000 + $$)), path: sockets/v}" \
		'console: {input: stdin}' ${jail:+"$jail"} >/dev/null
	mv "$place/killed.yaml" "$place/user/"
	if output=$(timeout -k 5 1500 "$top/tests/system/as-user" --range --still-root "$B/killer" "$cofferdam" "$place/user/host.yaml" \
		"$place/user/killed.yaml" killed "$place/run-user" "$place/log-user" $((step == 1 ? 1 : 3 * step)) 3 user=$user no-tap no-passt 2>&1); then
		echo "$output"
		pass "nothing is left of one that a user started"
	else
		fail "something is left of one that a user started, or the test did not end" "$output"
	fi
	rm -rf /run/lock/cofferdam-$user
else
	skip "one that a user starts: needs a mount namespace"
fi
finish
