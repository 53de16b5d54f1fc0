#!/bin/bash
# The built-in guest on this machine's KVM, hardware or software: every end, every bad input, every process killed.
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi

echo "- ends, each with its own exit status"
{ cat "$top/examples/hello.yaml"; echo "${JAIL:-}"; } >"$place/hello.yaml"
expect_status "examples/hello.yaml" 0 'all well' cf run "$place/hello.yaml"
expect_status "power-off" 0 'all well' cf run "$(policy off)"
expect_status "exit register" 7 . cf run "$(policy exit 'cmdline: list end=exit:7')"
expect_status "reboot" 122 . cf run "$(policy reboot 'cmdline: list end=reset')"
expect_status "triple fault" 123 . cf run "$(policy triple 'cmdline: list end=triple')"
expect_status "panic" 124 . cf run "$(policy panic 'cmdline: list end=panic')"
expect_status "run-time cap" 121 . cf run "$(policy hang 'cmdline: end=hang' 'limits: {run_time: 1s}' 'control: {grace: 500ms}')"
for n in 2 4 16; do
	expect_status "$n vCPUs" 0 'all well' cf run "$(policy "smp$n" "machine: {vcpus: $n, memory: 64MiB}" 'cmdline: smp')"
done
expect_status "memory above the hole" 0 'all well' cf run "$(policy high 'machine: {vcpus: 1, memory: 3200MiB}')"
policy named 'cmdline: list virtio_mmio.device=4K@0xd0002000:6' >/dev/null
twice() { [ "$(cf run "$place/named.yaml" | grep -c '^device: virtio block at d0002000, interrupt 6')" = 2 ]; }
expect_status "the guest finds devices in ACPI, and by its command line" 0 '' twice
expect_status "devices reset while busy" 0 'all well' cf run "$(policy resets 'cmdline: reset-devices')"
careless() { timeout -k 5 60 env --ignore-signal=CHLD "$cofferdam" --host "$place/host.yaml" "$@"; }
expect_status "started by who ignores how children end" 7 . careless run "$(policy careless 'cmdline: list end=exit:7')"
expect_sealed "$place"/log/[!h]*.jsonl "$place"/log/h[!o]*.jsonl

log=$(ls "$place"/log/off-*.jsonl)
expect_status "the log has the built-in guest's hash" 0 "$(sha256sum "$B/guest/builtin.elf" | cut -d' ' -f1)" cat "$log"

echo "- console"
policy flood 'cmdline: flood=20000' 'limits: {console: 64KiB}' >/dev/null
size=$(cf run "$place/flood.yaml" 2>/dev/null </dev/null | wc -c)
if [ "$size" -le 65536 ] && [ "$size" -gt 60000 ]; then pass "console cap"; else fail "console cap: $size bytes came"; fi
policy esc 'cmdline: esc' >/dev/null
if cf run "$place/esc.yaml" </dev/null 2>/dev/null | grep -qP '\x1b\]'; then fail "an OSC sequence reached the output"; else pass "escape sequences filtered"; fi
if cf run --raw "$place/esc.yaml" </dev/null 2>/dev/null | grep -qP '\x1b\]'; then pass "--raw passes them"; else fail "--raw filtered"; fi
if [ "$(printf 'hello\004' | cf run "$(policy echo 'cmdline: echo' 'console: {input: stdin}')" 2>/dev/null | grep -c hello)" -ge 1 ]; then pass "console input"; else fail "console input"; fi
policy logged 'console: {log: console.log}' >/dev/null
cf run "$place/logged.yaml" </dev/null >/dev/null 2>&1
if grep -q 'all well' "$place/console.log"; then pass "console log file"; else fail "console log file"; fi
opened="\"identity\":\"$(stat -c %D:%i "$place/console.log")\",\"path\":\"console.log\""
if grep '"event_code":"resource_opened"' "$place"/log/logged-*.jsonl | grep -qF "$opened"; then pass "the audit log has which"; else fail "no $opened in the audit log" "$(cf audit show "$place"/log/logged-*.jsonl)"; fi

echo "- bad input"
# A start that is refused says why, with status 125, and leaves one record of this EVENT in the host's log, with the reason
# that was said. vm_crashed: what the monitor finds when the guest may have been let go already; then the run's log has it.
said_too() {
	"$@" >"$place/said" 2>&1
	local status=$?
	cat "$place/said"
	return $status
}
cat >"$place/refusal.py" <<'PYTHON'
import json, re, sys
folder, event, before = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(sys.argv[4]) as file:
    said = re.sub(r"(:\d+)(:\d+)?: error: |: error: ", r"\1: ", file.read()) # the record has the line and no column
def refusals(log, first):
    with open(f"{folder}/{log}") as file:
        for record in map(json.loads, file.readlines()[first:]):
            code, details = record["metadata"]["event_code"], record["unmapped"]["cofferdam"].get("details", {})
            if code == "run_started" and event == "vm_crashed":
                yield from refusals(details["log"], 0)
            elif code.endswith("_refused") or code == "vm_crashed":
                yield code, details.get("reason", "")
found = list(refusals("host.jsonl", before))
print(found)
wanted = {event, "run_refused"} if event == "vm_crashed" else {event}
sys.exit(not (len(found) == 1 and found[0][0] in wanted and found[0][1] and found[0][1] in said))
PYTHON
refused() { # EVENT NAME PATTERN COMMAND...
	local event=$1 name=$2 pattern=$3 before found
	shift 3
	before=$(cat "$place/log/host.jsonl" 2>/dev/null | wc -l)
	expect_status "$name" 125 "$pattern" said_too "$@"
	if found=$(python3 "$place/refusal.py" "$place/log" "$event" "$before" "$place/said" 2>&1); then pass "$name: the host's log has it"; else
		fail "$name: the host's log has no $event of it" "$found; said: $(cat "$place/said")"
	fi
}
refused policy_refused "no such policy" 'No such file' cf run "$place/none.yaml"
refused policy_refused "a mistake in the policy" '^.*bad.yaml:[0-9]+:[0-9]+: error' cf run "$(policy bad 'machine: {vcpus: 1, memroy: 64MiB}')"
expect_status "check says 2" 2 'memory' cf check "$place/bad.yaml"
head -c 100000 /dev/urandom >"$place/garbage"
refused vm_crashed "forged kernel" 'kernel' cf run "$(policy forged 'kernel: {path: garbage}')"
printf '\x7fELF\x02\x01\x01' >"$place/short.elf"
refused vm_crashed "truncated ELF" 'kernel' cf run "$(policy short 'kernel: {path: short.elf}')"
: >"$place/empty"
refused run_refused "empty kernel" 'empty' cf run "$(policy empty 'kernel: {path: empty}')"
refused run_refused "console log exists" 'exists already' cf run "$place/logged.yaml"
head -c 1M /dev/zero >"$place/linked.img"
ln "$place/linked.img" "$place/linked2.img"
refused run_refused "disk with a second name" 'hard link' cf run "$(policy dlinked 'disks: [{name: d, path: linked.img, access: read-write}]')"
closed() { "$@" 0<&- 1>&-; }
expect_status "closed standard descriptors" 0 '' closed cf run "$(policy closed)"
refused run_refused "missing kernel" 'nowhere' cf run "$(policy nowhere 'kernel: {path: nowhere}')"
refused run_refused "missing initrd" 'nowhere' cf run "$(policy noinitrd 'initrd: {path: nowhere}')"
refused run_refused "missing disk" 'nowhere' cf run "$(policy nodisk 'disks: [{name: d, path: nowhere}]')"
truncate -s 65M "$place/huge"
refused run_refused "oversized kernel" 'larger' cf run "$(policy huge 'kernel: {path: huge}')"
refused run_refused "oversized initrd" 'larger' cf run "$(policy hugerd 'initrd: {path: huge}')"
mkdir "$place/dir"
mkfifo "$place/fifo"
for what in dir fifo; do
	refused run_refused "disk is a $what" "$what" cf run "$(policy "d$what" "disks: [{name: d, path: $what}]")"
done
if mknod "$place/device" c 1 5 2>/dev/null; then
	refused run_refused "disk is a device" 'a device or socket; name a regular file' cf run "$(policy ddevice 'disks: [{name: d, path: device}]')"
else
	skip "a disk that is a device: needs root"
fi
if [ "$(id -u)" != 0 ]; then
	install -m 000 "$place/linked.img" "$place/closed.img"
	refused run_refused "disk without a permission" 'closed.img.*[Pp]ermission' cf run "$(policy dclosed 'disks: [{name: d, path: closed.img}]')"
else
	skip "a disk without a permission: root has it; tests/system/rootless.sh runs this as a user"
fi
ln -s /dev/zero "$place/link"
refused run_refused "disk is a link" 'link' cf run "$(policy dlink 'disks: [{name: d, path: link}]')"
ln -s "$place/garbage" "$place/wrong.img"
head -c 1000 /dev/zero >"$place/odd.img"
refused run_refused "disk not a multiple of 512" '512' cf run "$(policy odd 'disks: [{name: d, path: odd.img}]')"
refused run_refused "more memory than the host" 'memory' cf run "$(policy vast 'machine: {vcpus: 1, memory: 512GiB}')"
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	bare_dev() { unshare -m sh -c 'mount -t tmpfs dev /dev && mknod -m 666 /dev/null c 1 3 && exec "$@"' sh "$@"; }
	refused run_refused "no /dev/kvm" 'no /dev/kvm.*virtualisation' bare_dev "$cofferdam" --host "$place/host.yaml" run "$(policy nokvm)"
	fake_kvm() { unshare -m sh -c 'mount --bind /dev/null /dev/kvm && exec "$@"' sh "$@"; }
	refused run_refused "a /dev/kvm that is none" 'KVM' fake_kvm "$cofferdam" --host "$place/host.yaml" run "$(policy fakekvm)"
	expect_status "doctor without KVM" 1 'bad +kvm' bare_dev "$cofferdam" --host "$place/host.yaml" doctor
else
	skip "no /dev/kvm: needs root and a mount namespace"
fi
[ "$(find "$place/run" -type f -o -type s 2>/dev/null | grep -cv slots)" = 0 ] && pass "refused runs leave nothing" || fail "refused runs leave files" "$(ls -la "$place/run")"

echo "- a running VM"
head -c 1M /dev/zero >"$place/data.img"
policy busy 'cmdline: list end=button' 'disks: [{name: data, path: data.img, access: read-write}]' 'audit: {on_failure: halt}' >/dev/null
policy busy2 'disks: [{name: data, path: data.img, access: read-write}]' >/dev/null
start() { # NAME: starts it; sets launcher and pids
	: >"$place/$1.out"
	"$cofferdam" --host "$place/host.yaml" run "$place/$1.yaml" >"$place/$1.out" 2>&1 </dev/null &
	launcher=$!
	wait_for 20 grep -q 'power button' "$place/$1.out" || { fail "$1 does not start" "$(cat "$place/$1.out")"; return 1; }
	wait_for 10 has_children "$launcher" 6 || fail "$1 has not six processes" "$(ps -o pid,args --ppid "$launcher")"
	pids=$(children "$launcher")
}
if start busy; then
	refused run_refused "name in use" 'runs already' cf run "$place/busy.yaml"
	refused run_refused "disk in use" 'in use' cf run "$place/busy2.yaml"
	expect_status "ps" 0 'busy.*running' cf ps
	expect_status "ps --json" 0 '"busy"' cf ps --json
	expect_status "inspect" 0 'seccomp' cf inspect busy
	expect_status "stop presses the power button" 0 '' cf stop busy
	wait "$launcher"
	status=$?
	[ $status = 0 ] && pass "guest powered off" || fail "after stop: status $status" "$(cat "$place/busy.out")"
	expect_clean "nothing left after stop" busy $launcher $pids
	log=$(ls "$place"/log/busy-*.jsonl | tail -1)
	expect_status "its log has the request" 0 'stop' cf audit show "$log"
fi
policy deaf 'cmdline: end=hang' 'control: {grace: 500ms}' >/dev/null
"$cofferdam" --host "$place/host.yaml" run "$place/deaf.yaml" >/dev/null 2>&1 </dev/null &
launcher=$!
wait_for 20 bash -c "'$cofferdam' --host '$place/host.yaml' ps | grep -q 'deaf.*running'"
kill -TERM $launcher
wait $launcher
status=$?
[ $status = 121 ] && pass "SIGTERM, then force after the grace period" || fail "forced stop: status $status"

echo "- kill -9 of each process in turn"
gone() { local p; for p in "$@"; do [ -d "/proc/$p" ] && ! grep -q '^State:.*Z' "/proc/$p/status" && return 1; done; return 0; }
who=(launcher auditor supervisor monitor console disk entropy)
for i in "${!who[@]}"; do
	start busy || break
	# shellcheck disable=SC2206
	all=($launcher $pids)
	kill -9 "${all[$i]}"
	if ! wait_for 30 gone "${all[@]}"; then
		fail "kill -9 ${who[$i]}: the VM goes on" "$(leftovers busy "${all[@]}")"
		kill -9 "${all[@]}" 2>/dev/null
	fi
	wait "$launcher" 2>/dev/null
	[ "${who[$i]}" = launcher ] && cf ps >/dev/null
	expect_clean "kill -9 ${who[$i]}" busy "${all[@]}"
done

echo "- the logs of all these runs"
key=$(cf audit keygen)
against_host() { cf audit verify --pubkey "$key" --host-log "$place/log/host.jsonl" "$@"; }
expect_status "the host's log is whole" 11 'unsealed' cf audit verify --pubkey "$key" "$place/log/host.jsonl"
expect_status "and by docs/verify.py" 11 'unsealed' "$top/docs/verify.py" --pubkey "$key" "$place/log/host.jsonl"
killed=$(grep -l '"signal":9' "$place"/log/busy-*.jsonl | head -n 1)
unsealed=$(cf audit show --event run_unsealed "$place/log/host.jsonl" | grep -c 'without a seal')
[ "$unsealed" -ge 1 ] && pass "the run whose auditor was killed is marked" || fail "no run is marked as unsealed" "$(cf audit show "$place/log/host.jsonl" | tail -n 20)"
[ -z "$(ls -A "$place/log/running")" ] && pass "no run is left as running" || fail "runs left as running" "$(ls "$place/log/running")"
expect_status "a sealed log, by the host's key" 0 'sealed' against_host "$(ls "$place"/log/off-*.jsonl)"
[ -z "$killed" ] || expect_status "so is one of a killed process" 0 'sealed' against_host "$killed"
head -n 12 "$(ls "$place"/log/off-*.jsonl)" >"$place/cut.jsonl"
expect_status "cut, the host's log says so" 30 'cut' against_host "$place/cut.jsonl"
expect_status "every line is an event of OCSF" 0 ' 0 wrong' "$top/tests/ocsf" "$place"/log/*.jsonl
log=$(ls "$place"/log/off-*.jsonl)
login=$(cat /proc/self/loginuid 2>/dev/null)
[ "${login:-4294967295}" != 4294967295 ] || login=null
for file in "$log" "$place/log/host.jsonl"; do
	for said in "\"boot\":\"$(tr -d - </proc/sys/kernel/random/boot_id)\"" "\"reporter\":{\"hostname\":\"$(uname -n)\"}" \
		"\"actor\":{\"uid\":$(id -u),\"login_uid\":$login,\"name\":\"$(id -un)\"}"; do
		[ "$(grep -cF -- "$said" "$file")" = "$(wc -l <"$file")" ] && pass "each record of ${file##*/} has $said" || fail "not each record of ${file##*/} has $said" "$(head -n 1 "$file")"
	done
done
cf audit anchor "$log" >"$place/anchor"
expect_status "verified against its anchor" 0 'sealed' cf audit verify --pubkey "$(log_key "$log")" --anchor "$place/anchor" "$log"
head -n 5 "$log" >"$place/cut.jsonl"
expect_status "cut, the anchor says so" 32 'rolled-back' cf audit verify --pubkey "$(log_key "$log")" --anchor "$place/anchor" "$place/cut.jsonl"
cf audit prove "$log" 3 >"$place/proof"
expect_status "one record proved without the others" 0 '"sequence":3' cf audit check-proof --pubkey "$(log_key "$log")" "$place/proof"
expect_status "show, filtered" 0 'vm_starting' cf audit show --vm off --event vm_starting --class 3004 "$log"
expect_status "and nothing beside" 0 '^0$' bash -c '"$@" | grep -cv -e vm_starting -e TIME || true' _ "$cofferdam" audit show --event vm_starting "$log"
finish
