#!/bin/bash
# What `run` says: one line for each end but a power-off, the cap that was reached, whom it told by --status-fd, and what
# it warns of. The log and standard error tell the same story.
. "$(dirname "$0")/lib.sh"

echo "- --status-fd"
policy good >/dev/null
expect_status "a descriptor that is not open" 125 'status-fd 9: no such descriptor' cf run --status-fd 9 "$place/good.yaml"
nine() { "$@" 9<"$place/good.yaml"; }
expect_status "one that is open for reading" 125 'status-fd 9: that descriptor is not open for writing' nine cf run --status-fd 9 "$place/good.yaml"
for number in nine -1 '' 9x 99999999999999999999; do
	expect_status "'$number' for a number" 125 'status-fd needs the number' cf run --status-fd "$number" "$place/good.yaml"
done
[ -d "$place/log" ] && fail "a run with a bad --status-fd began" "$(ls "$place/log")" || pass "nothing began"

not_started() { # NAME POLICY REASON [HOST-FILE]: one line says why
	"$cofferdam" --host "${4:-$place/host.yaml}" run --status-fd 9 "$2" 9>"$place/status" >/dev/null 2>&1 </dev/null
	if [ $? = 125 ] && python3 - "$place/status" "$3" <<'PYTHON'
import json, re, sys
(line,) = open(sys.argv[1])
story = json.loads(line)
sys.exit(not (story["stage"] == "start" and story["outcome"] == "failure" and story["status"] == 125 and re.search(sys.argv[2], story["reason"])))
PYTHON
	then pass "$1"; else fail "$1" "$(cat "$place/status")"; fi
}
policy mistaken 'machine: {vcpus: many}' >/dev/null
not_started "a policy with a mistake" "$place/mistaken.yaml" 'mistaken.yaml:[0-9]+: .*many'
not_started "a policy that is not there" "$place/none.yaml" 'none.yaml: cannot be opened'
not_started "a policy whose name is not UTF-8" "$place/"$'n\xe9ant.yaml' 'ant.yaml: cannot be opened'
not_started "a host file with a mistake" "$place/good.yaml" 'mistaken.yaml:[0-9]+: ' "$place/mistaken.yaml"

if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi
cf run --status-fd 9 "$place/good.yaml" 9>"$place/status" >/dev/null 2>&1 </dev/null
if [ "$(python3 -c 'import json, sys
for line in open(sys.argv[1]): print(json.loads(line)["stage"])' "$place/status" | tr '\n' ' ')" = "running ended " ]; then
	pass "two lines of JSON"
else fail "two lines of JSON" "$(cat "$place/status")"; fi
nine_full() { "$@" 9>/dev/full; }
expect_status "a status that cannot be written is said" 0 'cannot write to --status-fd 9: No space left' nine_full cf run --status-fd 9 "$place/good.yaml"

echo "- one line of why"
says() { # NAME STATUS PATTERN [LINE]...: what `run` says on standard error, which is one line; but for this host's full disk
	local name=$1 status=$2 pattern=$3 said got
	shift 3
	cf run "$(policy "$name" "$@")" 2>"$place/said" >/dev/null </dev/null
	got=$?
	said=$(grep -v "the file system of the logs" "$place/said")
	if [ $got = "$status" ] && [ "$(wc -l <<<"$said")" = 1 ] && grep -qE -- "$pattern" <<<"$said"; then pass "$name"; else
		fail "$name: status $got, not $status, or not one line with '$pattern'" "$said"
	fi
}
says off 0 '^$'
says zero 0 '^$' 'cmdline: list end=exit:0'
says exit 7 "VM 'exit' ended: the guest wrote 7 to its exit register" 'cmdline: list end=exit:7'
says reboot 122 "VM 'reboot' ended: .*reboot" 'cmdline: list end=reset'
says triple 123 "VM 'triple' ended: triple fault" 'cmdline: list end=triple'
says panic 124 "VM 'panic' ended: panic" 'cmdline: list end=panic'

echo "- caps"
policy hang 'cmdline: end=hang' 'limits: {run_time: 1s}' 'control: {grace: 500ms}' >/dev/null
expect_status "run time: the cap is named" 121 "VM 'hang' has run for 1s, its limits.run_time" cf run "$place/hang.yaml"
expect_status "run time: and what came of it" 121 'by force, since 500ms .control.grace. after its run-time cap' cf run "$place/hang.yaml"
says flood 0 "printed all that limits.console allows, 64KiB" 'cmdline: flood=20000' 'limits: {console: 64KiB}'
policy deaf 'cmdline: end=hang' 'control: {grace: 500ms}' >/dev/null
"$cofferdam" --host "$place/host.yaml" run "$place/deaf.yaml" >/dev/null 2>"$place/said" </dev/null &
launcher=$!
wait_for 20 bash -c "'$cofferdam' --host '$place/host.yaml' ps | grep -q 'deaf.*running'"
kill -TERM $launcher
wait $launcher
grep -q 'by force, since 500ms .control.grace. after a signal' "$place/said" && pass "a signal" || fail "a signal" "$(cat "$place/said")"
"$cofferdam" --host "$place/host.yaml" run "$place/deaf.yaml" >/dev/null 2>"$place/said" </dev/null &
launcher=$!
wait_for 20 bash -c "'$cofferdam' --host '$place/host.yaml' ps | grep -q 'deaf.*running'"
cf stop --grace 0 deaf
wait $launcher
grep -q 'by force, as .cofferdam stop. or' "$place/said" && pass "stop" || fail "stop" "$(cat "$place/said")"

# A greedy stranger in the VM's own control group, whom the kernel must spare: it has to kill the VM.
policy starved 'cmdline: list end=button' >/dev/null
"$cofferdam" --host "$place/host.yaml" run "$place/starved.yaml" >"$place/starved.out" 2>&1 </dev/null &
launcher=$!
wait_for 20 grep -q 'power button' "$place/starved.out"
group=$(for folder in $(groups_of starved); do [ ! -e "$folder/memory.max" ] && [ ! -e "$folder/memory.limit_in_bytes" ] || echo "$folder"; done | head -1)
gone() { ! [ -d "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status"; }
if [ -n "$group" ] && bash -c 'echo -1000 >/proc/self/oom_score_adj' 2>/dev/null; then
	timeout 60 bash -c 'echo -1000 >/proc/self/oom_score_adj && echo $$ >"$1/cgroup.procs" && head -c 300M /dev/zero | tail -c 300M' \
		greedy "$group" >/dev/null 2>&1 </dev/null &
	greedy=$!
	wait_for 30 gone $launcher || { fail "memory: the VM lives on" "$(cat "$group/memory.events")"; kill -9 $launcher; }
	wait $launcher
	status=$?
	kill $greedy 2>/dev/null
	wait $greedy 2>/dev/null
	if [ $status = 125 ] && grep -q "VM 'starved' ended: its memory cap of .* MiB .*limits.memory_overhead" "$place/starved.out"; then
		pass "memory"
	else fail "memory: status $status" "$(cat "$place/starved.out")"; fi
	expect_status "memory: the log says so too" 0 'cap_reached .*: memory' cf audit show "$(ls "$place"/log/starved-*.jsonl)"
else
	cf stop starved
	skip "memory cap: needs the right to lower oom_score_adj and the memory controller"
fi

echo "- a control group whose runtime folder is gone"
policy lost 'cmdline: list end=button' >/dev/null
"$cofferdam" --host "$place/host.yaml" run "$place/lost.yaml" >"$place/lost.out" 2>&1 </dev/null &
launcher=$!
wait_for 20 grep -q 'power button' "$place/lost.out" || fail "lost does not start" "$(cat "$place/lost.out")"
mapfile -t groups < <(groups_of lost)
mapfile -t pids < <(children $launcher)
rm -r "$place/run"
there() { ls -d "${groups[@]}" 2>/dev/null; }
if [ ${#groups[@]} = 0 ]; then
	skip "a control group that is left: none can be had here"
	kill -9 $launcher
else
	cf ps >/dev/null
	if [ "$(there | wc -l)" = ${#groups[@]} ]; then pass "a running VM keeps it"; else fail "a running VM has lost it" "$(there)"; fi
	kill -9 $launcher
	wait $launcher 2>/dev/null
	for pid in "${pids[@]}"; do wait_for 20 gone "$pid" || fail "process $pid outlives its launcher"; done
	if [ "$(there | wc -l)" = ${#groups[@]} ]; then pass "it is left by a launcher that was killed"; else fail "who has removed it?" "$(there)"; fi
	cf ps >/dev/null
	if [ -z "$(there)" ]; then pass "the next command removes it"; else fail "the next command leaves it" "$(there)"; fi
fi

echo "- what is bound to go wrong"
head -c 4096 /dev/zero >"$place/zeros"
policy linux 'kernel: {path: zeros}' >/dev/null
if grep -qwE 'svm|vmx' /proc/cpuinfo; then
	if cf run "$place/linux.yaml" 2>&1 </dev/null | grep -q 'software KVM'; then fail "warns of a software KVM on hardware"; else pass "no warning on hardware"; fi
else
	if cf run "$place/linux.yaml" 2>&1 </dev/null | grep -q 'software KVM'; then fail "warns of a software KVM where the kernel is none"; else pass "not where the kernel is none"; fi
	cp "$B/guest/builtin.elf" "$place/guest"
	policy own 'kernel: {path: guest}' 'cmdline: list' >/dev/null
	expect_status "a kernel of one's own on a software KVM" 0 'software KVM.*will hardly boot' cf run "$place/own.yaml"
	if cf run "$place/good.yaml" 2>&1 </dev/null | grep -q 'software KVM'; then fail "warns of the built-in guest"; else pass "not for the built-in guest"; fi
fi
if chrt -f 1 true 2>/dev/null; then
	expect_status "a real-time launcher" 125 'real-time process.*chrt --other 0' chrt -f 1 "$cofferdam" --host "$place/host.yaml" run "$place/good.yaml"
else
	skip "real-time launcher: needs the right"
fi
finish
