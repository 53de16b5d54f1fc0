# Sourced by the system tests: a place of their own, one function per kind of assertion, and the check that nothing is
# left behind. Needs B (build folder). Runs real VMs; ends only processes it started.
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$top/$B ;; esac
cofferdam=$B/cofferdam
place=$(mktemp -d "${TMPDIR:-/tmp}/cofferdam-test-XXXXXX")
trap 'for job in $(jobs -p); do kill -9 "$job"; done 2>/dev/null; rm -rf "$place"' EXIT
passed=0
failed=0
skipped=0

cat >"$place/host.yaml" <<HOST
cofferdam: 1
folders:
  runtime: "$place/run"
  audit: "$place/log"
HOST
chmod go-w "$place" "$place/host.yaml"

cf() { timeout -k 5 "${LIMIT:-60}" "$cofferdam" --host "$place/host.yaml" "$@"; }

pass() { passed=$((passed + 1)); [ -n "${VERBOSE:-}" ] && echo "  ok: $1"; return 0; }
fail() {
	failed=$((failed + 1))
	echo "  FAILED: $1"
	[ $# -gt 1 ] && printf '%s\n' "$2" | sed 's/^/    | /' | tail -25
	return 0
}
skip() { skipped=$((skipped + 1)); echo "  skipped: $1"; }

# expect_status NAME WANTED OUTPUT-PATTERN COMMAND...: exit status and a pattern in output or error.
expect_status() {
	local name=$1 wanted=$2 pattern=$3 output status
	shift 3
	output=$("$@" 2>&1 </dev/null)
	status=$?
	if [ "$status" != "$wanted" ]; then
		fail "$name: exit status $status, not $wanted" "$output"
	elif ! grep -qE -- "$pattern" <<<"$output"; then
		fail "$name: nothing matches '$pattern'" "$output"
	else
		pass "$name"
	fi
}

# policy NAME [LINE]...: writes $place/NAME.yaml with the built-in guest; each LINE replaces the key it begins with.
# JAIL: the line of the key `jail` in all of them.
policy() {
	local name=$1 line key
	shift
	declare -A keys=([cofferdam]='cofferdam: 1' [name]="name: $name" [kernel]='kernel: builtin'
		[machine]='machine: {vcpus: 1, memory: 64MiB}'
		[disks]='disks: [{name: scratch, scratch: 1MiB, access: read-write}]' [jail]=${JAIL:-})
	for line in "$@"; do
		key=${line%%:*}
		keys[$key]=$line
	done
	for key in cofferdam name kernel initrd cmdline machine disks networks balloon vsock console limits audit control jail; do
		[ -n "${keys[$key]:-}" ] && printf '%s\n' "${keys[$key]}"
	done >"$place/$name.yaml"
	echo "$place/$name.yaml"
}

# wait_for SECONDS COMMAND...: until the command succeeds; false when it never does. Polls without a timer of its own:
# each try is bounded by `read -t` on a pipe nobody writes to.
exec {idle}<> <(:)
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -ge $end ] && return 1
		read -r -t 0.05 -u "$idle" _ || true
	done
}

# The processes of a VM whose launcher is $1: its children, but for who writes the host's log.
children() { ps -o pid=,args= --ppid "$1" | sed -n 's/^ *\([0-9]*\) cofferdam-.*/\1/p'; }
has_children() { [ "$(children "$1" | wc -l)" = "$2" ]; }

# The folders of a VM's control group, in whatever trees this host has. Its name has the runtime folder in it.
group_name() { printf '%s.%s-%x' "$1" $(stat -c '%D %i' "$place/run"); }
groups_of() { [ ! -d "$place/run" ] || find /sys/fs/cgroup -maxdepth 5 -type d -path "*/cofferdam/$(group_name "$1")" 2>/dev/null; }

# What a VM may leave: processes, sockets and locks, cgroups, mounts. Prints what it finds.
leftovers() {
	local name=$1 pid
	shift
	for pid in "$@"; do
		[ -d "/proc/$pid" ] && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null && echo "process $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
	done
	find "$place/run" -name "$name.*" 2>/dev/null
	groups_of "$name"
	grep "cofferdam" /proc/self/mounts | grep -v " $top" | grep -v 9p
	return 0
}

expect_clean() {
	local left
	left=$(leftovers "${@:2}")
	if [ -z "$left" ]; then pass "$1"; else fail "$1: left behind" "$left"; fi
}

# The first public key that a log names, and whether the log is sealed with it, by both verifiers.
log_key() { sed -n '1s/.*"key":"\([^"]*\)".*/\1/p' "$1"; }
expect_sealed() {
	local log
	for log in "$@"; do
		expect_status "$(basename "$log") is sealed" 0 'sealed' cf audit verify --pubkey "$(log_key "$log")" "$log"
		expect_status "$(basename "$log"), by docs/verify.py" 0 'sealed' "$top/docs/verify.py" --pubkey "$(log_key "$log")" "$log"
	done
}

# Also: every line of the logs of this test's VMs is an event of OCSF, and none has what a guest printed, or its command
# line, which may be secret as well. No two logs have one key: what one VM's auditor can sign is nobody else's.
finish() {
	local logs shared
	printf '%s\n' 'cofferdam guest' 'from ring 3' 'all well' 'waiting for the power' 'brown fox' 'Linux version' >"$place/of-guests"
	sed -n 's/^cmdline: *//p' "$place"/*.yaml | tr -d \" | grep '[ =]' >>"$place/of-guests"
	mapfile -t logs < <(find "$place" \( -path "$place/log*/*.jsonl" -o -path '*/.local/state/*.jsonl' \) -size +0 2>/dev/null)
	[ ${#logs[@]} = 0 ] || expect_status "every line of the logs is an event of OCSF" 0 ' 0 wrong' "$top/tests/ocsf" "${logs[@]}"
	[ ${#logs[@]} = 0 ] || ! grep -oFf "$place/of-guests" "${logs[@]}" >"$place/leaked" || fail "a log has what a guest printed or was told" "$(cat "$place/leaked")"
	shared=$(cat /dev/null "${logs[@]}" | sed -n 's/.*"event_code":"log_opened".*"key":"\(cofferdam[^+]*\)+[0-9a-f]*+\([^"]*\)".*/\2 \1/p' | sort -u | cut -d ' ' -f 1 | uniq -d)
	[ -z "$shared" ] || fail "two logs have the same key" "$shared"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
}
