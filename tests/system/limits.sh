#!/bin/bash
# Caps hold, by the host's clock and its file system: the built-in guest reads or writes one block after another as fast as
# it is let, spins, prints; and the log says what was not let, and what was used. Only more than a cap is wrong: a machine
# that is busy makes it less.
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi

READS=1600 SIZE=4096                 # bench=blk reads so many bytes at a time
MILLISECONDS=4000                    # that the caps below ask for
reads_per_second=$((READS * 1000 / MILLISECONDS))
kib_per_second=$((reads_per_second * SIZE / 1024))

# timed NAME LIMITS: runs the guest; milliseconds on standard output.
timed() {
	local start
	policy "$1" "cmdline: quiet bench=blk:$READS" "disks: [{name: scratch, scratch: 1MiB, access: read-write$2}]" >/dev/null
	start=$(date +%s%N)
	cf run "$place/$1.yaml" </dev/null >"$place/$1.out" 2>&1 || echo "failed" >>"$place/$1.out"
	echo $((($(date +%s%N) - start) / 1000000))
}

# Of a log: the first request held back is told at once, and the rest together, in no more records than it takes seconds.
# On a busy host the guest itself is late, and fewer are held back.
read -r -d '' count <<'PYTHON'
import json, sys
details = [record["unmapped"]["cofferdam"]["details"] for record in map(json.loads, open(sys.argv[1]))
           if record["metadata"]["event_code"] == "cap_reached"]
reads, seconds = int(sys.argv[2]), int(sys.argv[3]) / 1000
held_back = sum(detail["count"] for detail in details)
good = (2 <= len(details) <= 2 + seconds / 4 and details[0]["count"] == 1 and len(details) < held_back <= reads and
        all(detail["first_monotonic_ms"] <= detail["last_monotonic_ms"] and detail["device"] == "scratch" for detail in details))
print("counted" if good else details)
PYTHON

free=$(timed free "")
timed operations ", limits: {operations: $reads_per_second/s}" >"$place/operations.ms" &
timed bandwidth ", limits: {bandwidth: ${kib_per_second}KiB/s}" >"$place/bandwidth.ms" &
wait
if [ "$free" -gt $((MILLISECONDS / 2)) ]; then
	skip "this machine takes $free ms for $READS reads without a cap: too slow to see one"
	finish
	exit
fi
for cap in operations bandwidth; do
	took=$(<"$place/$cap.ms")
	log=$(ls "$place/log/$cap"-*.jsonl)
	if ! grep -q 'all well' "$place/$cap.out"; then
		fail "$cap: the guest is not well" "$(cat "$place/$cap.out")"
	elif [ $((took * 105)) -lt $((MILLISECONDS * 100)) ]; then
		fail "$cap: $READS reads took $took ms, $MILLISECONDS at the cap; $free without"
	else
		pass "$cap: no more than 5 % above the cap"
	fi
	expect_status "$cap: the log says so" 0 "a cap of VM $cap was reached: $cap of device scratch, times: " cf audit show "$log"
	expect_status "$cap: the log verifies" 0 . cf audit verify --pubkey "$(log_key "$log")" "$log"
	expect_status "$cap: requests are counted, not listed" 0 '^counted$' python3 -c "$count" "$log" "$READS" "$took"
done
if cf audit show "$(ls "$place"/log/free-*.jsonl)" | grep -q 'a cap of .* of device'; then fail "a cap that was not reached is in the log"; else pass "no cap reached, none in the log"; fi

echo "- growth of an image"
for size in 4 8; do
	truncate -s 16M "$place/image.raw"
	policy grow "cmdline: quiet fill=2048" "disks: [{name: data, path: image.raw, access: read-write, limits: {growth: ${size}MiB}}]" >/dev/null
	expect_status "${size} MiB: the rest fails" 0 "fill: $((size * 256)) of 2048 blocks written, the last status $((size == 8 ? 0 : 1))" cf run "$place/grow.yaml"
	taken=$(($(stat -c '%b * %B' "$place/image.raw")))
	if [ "$taken" = $((size << 20)) ]; then pass "${size} MiB: taken on the host"; else fail "${size} MiB: the host has $taken bytes"; fi
	log=$(ls -t "$place"/log/grow-*.jsonl | head -1)
	if [ $size = 4 ]; then
		expect_status "the log says so" 0 'a cap of VM grow was reached: growth of the image of device data, times: 1' cf audit show "$log"
	elif cf audit show "$log" | grep -q 'growth of the image'; then fail "a cap that was not passed is in the log"; else pass "not passed, not in the log"; fi
	rm "$place/image.raw"
done
expect_status "what runs used is in the log" 0 '"disk_bytes":8388608' grep -o '"disk_bytes":[0-9]*' "$log"

echo "- processors"
policy spin "cmdline: quiet end=spin" "limits: {cpu: 40%, run_time: 4s}" "control: {grace: 0s}" >/dev/null
cf run "$place/spin.yaml" </dev/null >/dev/null 2>&1
log=$(ls "$place"/log/spin-*.jsonl)
read -r -d '' share <<'PYTHON'
import json, sys
log = [json.loads(line) for line in open(sys.argv[1])]
records = [(record["metadata"]["event_code"], record["unmapped"]["cofferdam"].get("details", {})) for record in log]
at = {record["metadata"]["event_code"]: record["unmapped"]["cofferdam"]["monotonic_ms"] for record in log}
end = next(details for code, details in records if code == "vm_stopped")
caps = {details["cap"]: details for code, details in records if code == "cap_reached"}
percent = 100 * end["cpu_time_ms"] / end["ran_for_ms"]
told = (caps["cpu"]["value"] == 40 and caps["cpu"]["count"] >= 1 and
        caps["cpu"]["first_monotonic_ms"] < at["vm_running"] < caps["cpu"]["last_monotonic_ms"] <= at["vm_stopped"]) if "cpu" in caps else percent < 38 # a busy host gave it less
good = percent <= 42 + 3 and told and "run time" in caps and end["memory_peak"] > 0
print("held" if good else (percent, caps, end))
PYTHON
expect_status "a spinning guest gets its share of a CPU" 0 '^held$' python3 -c "$share" "$log"
policy pinned "cmdline: quiet end=button" "limits: {cpuset: 0}" >/dev/null
"$cofferdam" --host "$place/host.yaml" run "$place/pinned.yaml" >"$place/pinned.out" 2>&1 </dev/null &
launcher=$!
if wait_for 20 grep -q 'power button' "$place/pinned.out"; then
	for child in $(children $launcher); do grep -H '^Cpus_allowed_list:' "/proc/$child/status" /proc/"$child"/task/*/status; done >"$place/cpus"
	if [ "$(wc -l <"$place/cpus")" -ge 7 ] && ! grep -v ':[[:space:]]0$' "$place/cpus"; then pass "every thread is on the processors named"; else fail "threads beyond limits.cpuset" "$(cat "$place/cpus")"; fi
	cf stop pinned >/dev/null
	wait $launcher
else
	fail "no VM with a cpuset" "$(cat "$place/pinned.out")"
	kill -9 $launcher
fi
policy nowhere "limits: {cpuset: 1000}" >/dev/null
expect_status "a processor that is not there" 125 'limits: cpuset names a processor that this host' cf run "$place/nowhere.yaml"
expect_status "and plan says so" 125 'REFUSED: .*limits: cpuset names a processor that this host' cf plan "$place/nowhere.yaml"

echo "- one name, two runtime folders"
mkdir "$place/other"
sed "s,^  runtime:.*,  runtime: \"$place/other\"," "$place/host.yaml" >"$place/other.yaml"
policy tasks "cmdline: quiet end=button" >/dev/null # as a file of every v1 control group is called, too
launchers=()
for host in host other; do
	"$cofferdam" --host "$place/$host.yaml" run "$place/tasks.yaml" >"$place/tasks.$host" 2>&1 </dev/null &
	launchers+=($!)
	wait_for 20 grep -q 'power button' "$place/tasks.$host" || fail "a VM named tasks, $host.yaml" "$(cat "$place/tasks.$host")"
	"$cofferdam" --host "$place/$host.yaml" inspect --json tasks | grep -o '[^ ]*/cofferdam/tasks[^, "]*' | sort -u >"$place/groups.$host"
done
if [ -s "$place/groups.host" ] && [ -s "$place/groups.other" ] && [ -z "$(comm -12 "$place/groups.host" "$place/groups.other")" ]; then
	pass "each has groups of its own"
else fail "each has groups of its own" "$(head "$place"/groups.*)"; fi
expect_status "a policy that names no processors has all" 0 '^cpuset  *0-1023$' cf inspect tasks
expect_status "one is stopped" 0 '^$' cf stop tasks
wait "${launchers[0]}"
expect_status "the other runs on" 0 'tasks.*running' "$cofferdam" --host "$place/other.yaml" ps
expect_status "and its cap can be changed" 0 '^$' "$cofferdam" --host "$place/other.yaml" set tasks limits.cpu=30%
"$cofferdam" --host "$place/other.yaml" stop tasks
wait "${launchers[1]}"

echo "- caps that change"
truncate -s 16M "$place/image.raw"
mkdir "$place/sockets"
last=$(($(nproc) - 1)) # of the host's processors
policy live "cmdline: quiet end=spin" "limits: {cpu: 80%, cpuset: 0-$last, run_time: 5min, tasks: 40, memory_overhead: 40MiB, console: 1MiB, log: 8MiB}" \
	"control: {grace: 0s}" "vsock: {cid: $((1000 + $$)), path: sockets/v}" \
	"disks: [{name: scratch, scratch: 1MiB, access: read-write}, {name: data, path: image.raw, access: read-write, limits: {growth: 8MiB}}]" >/dev/null
"$cofferdam" --host "$place/host.yaml" run "$place/live.yaml" >"$place/live.out" 2>&1 </dev/null &
launcher=$!
wait_for 20 bash -c "'$cofferdam' --host '$place/host.yaml' ps | grep -q 'live.*running'"
# The quota and the cap on tasks of the VM's control group, by the kernel's files of either version.
kernels() {
	local folder
	for folder in $(groups_of live); do
		cat "$folder/cpu.max" "$folder/cpu.cfs_quota_us" "$folder/pids.max" 2>/dev/null
	done
	return 0
}
expect_status "lowered" 0 '^$' cf set live limits.cpu=30%
if kernels | grep '^30000' >/dev/null; then pass "and the kernel has it"; else fail "the kernel has another quota" "$(kernels)"; fi
expect_status "not above the policy's" 1 'the policy allows no more' cf set live limits.cpu=81%
expect_status "up again to the policy's" 0 '^$' cf set live limits.cpu=80%
if kernels | grep '^80000' >/dev/null; then pass "and the kernel has that"; else fail "the kernel has another quota" "$(kernels)"; fi
expect_status "tasks" 0 '^$' cf set live limits.tasks=20
if kernels | grep -x '20' >/dev/null; then pass "of the kernel's as well"; else fail "the kernel has another cap" "$(kernels)"; fi
expect_status "inspect: the policy's processors, from the start" 0 "^cpuset  *0-$last$" cf inspect live
processors() { for child in $(children $launcher); do grep -h '^Cpus_allowed_list:' /proc/"$child"/task/*/status; done | awk '{print $2}' | sort -u; }
expect_status "one processor" 0 '^$' cf set live limits.cpuset=0
if [ "$(processors)" = 0 ]; then pass "and every thread is on it"; else fail "threads are elsewhere" "$(processors)"; fi
expect_status "inspect: that one" 0 '^cpuset  *0$' cf inspect live
[ $last = 0 ] || expect_status "inspect: beside the policy's" 0 "^policy_cpuset  *0-$last$" cf inspect live
expect_status "no others than the policy's" 1 'the policy allows no more' cf set live "limits.cpuset=0-$((last + 1))"
expect_status "the policy's again" 0 '^$' cf set live "limits.cpuset=0-$last"
if [ "$(processors)" = "0-$last" ]; then pass "and every thread has them"; else fail "threads have others" "$(processors)"; fi
expect_status "the size of the log" 0 '^$' cf set live limits.log=2MiB
expect_status "vsock's connections" 0 '^$' cf set live vsock.limits.connections=2
expect_status "not above the policy's" 1 'the policy allows no more' cf set live vsock.limits.connections=65
expect_status "vsock's bandwidth" 0 '^$' cf set live vsock.limits.bandwidth=1MiB/s
expect_status "open files: no, and why" 2 'each process has the open files that it was given' cf set live limits.open_files=20
expect_status "memory" 0 '^$' cf set live limits.memory_overhead=36MiB
expect_status "a disk" 0 '^$' cf set live 'disks[scratch].limits.operations=10/s'
expect_status "the growth of an image" 0 '^$' cf set live 'disks[data].limits.growth=4MiB'
expect_status "not above the policy's" 1 'the policy allows no more' cf set live 'disks[data].limits.growth=9MiB'
expect_status "the console" 0 '^$' cf set live limits.console=64KiB
for line in 'cpu  *80%' 'tasks  *20' 'policy_tasks  *40' 'memory_overhead  *36MiB' 'policy_memory_overhead  *40MiB' 'disk scratch, .*operations 10/s, policy_operations' \
	"cpuset  *0-$last" 'log_max  *2MiB' 'policy_log_max  *8MiB' 'vsock vsock, .*connections 2, policy_connections 64' \
	'vsock vsock, .*bandwidth 1MiB/s, policy_bandwidth' 'disk data, .*growth 4MiB, policy_growth 8MiB' 'console console, .*output_max 64KiB, policy_output_max 1MiB'; do
	expect_status "inspect: $line" 0 "^ *$line" cf inspect live
done
expect_status "stats has the caps in force" 0 '"cpu_cap_percent": *80.*"tasks_cap": *20|"tasks_cap": *20.*"cpu_cap_percent": *80' bash -c "'$cofferdam' --host '$place/host.yaml' stats --json live | tr -d '\n'"
expect_status "no such disk" 1 'there is no such device' cf set live 'disks[other].limits.operations=10/s'
expect_status "a disk's cap is not a network's" 1 'no such device of that kind' cf set live 'networks[scratch].limits.packets=10/s'
expect_status "the entropy device" 0 '^$' cf set live entropy.limits.bandwidth=64KiB/s
expect_status "what no VM can have anew" 2 'cannot be changed while a VM runs' cf set live machine.vcpus=2
expect_status "memory without a balloon" 1 'has no balloon' cf set live machine.memory=32MiB
expect_status "without a unit" 2 'has no unit' cf set live limits.cpu=30
expect_status "no value" 2 'is not KEY=VALUE' cf set live limits.cpu
expect_status "no such VM" 1 'no VM' cf set other limits.cpu=30%
began=$SECONDS said=
for n in $(seq 200); do # 64 at once, those above among them; one more each second
	said=$(cf set live "limits.tasks=$((19 + n % 2))" 2>&1) || break
done
if grep -q 'too many changes' <<<"$said" && ((n > 40)) || ((SECONDS - began > 130)); then pass "not as many changes as one likes"; else fail "changes: $n" "$said"; fi
expect_status "a run time that is over" 0 '^$' cf set live limits.run_time=1ms
wait $launcher
status=$?
if [ $status = 121 ] && grep -q 'which its limits.run_time was lowered to' "$place/live.out"; then pass "ends the VM"; else fail "ends the VM: status $status" "$(cat "$place/live.out")"; fi
log=$(ls "$place"/log/live-*.jsonl)
for record in 'set granted to uid 0: cpu, 30' 'a cap of VM live is now 30: cpu' 'set denied to uid 0: the policy allows no more' \
	'set granted to uid 0: processors 0$' 'a cap of VM live is now 1: processors 0$' 'a cap of VM live is now 2097152: size of the log' \
	'a cap of VM live is now 2: connections of device vsock' 'a cap of VM live is now 10: operations of device scratch' 'set granted to uid 0: run time, 1' 'a cap of VM live is now 1: run time'; do
	expect_status "in the log: $record" 0 "$record" cf audit show "$log"
done
expect_sealed "$log"

echo "- caps beside what was used"
policy sized "cmdline: quiet first" "limits: {run_time: 1h, console: 1MiB, cpu: 100%, tasks: 32}" >/dev/null
policy sized-2 "cmdline: quiet first" "limits: {run_time: 1h, console: 1MiB, cpu: 100%, tasks: 32}" >/dev/null
for run in 1 2; do cf run "$place/sized.yaml" </dev/null >/dev/null 2>&1; done
for run in 1 2 3; do cf run "$place/sized-2.yaml" </dev/null >/dev/null 2>&1; done
expect_status "two runs say nothing" 0 'nothing found' cf lint "$place/sized.yaml"
cf run "$place/sized.yaml" </dev/null >/dev/null 2>&1
expect_status "three do: run time" 1 'sized.yaml:7: unused-cap: limits.run_time: more than eight times' cf lint "$place/sized.yaml"
expect_status "console" 1 'unused-cap: limits.console' cf lint "$place/sized.yaml"
if cf lint "$place/sized.yaml" | grep -q 'unused-cap: \(machine.memory\|limits.cpu\|limits.tasks\)'; then fail "what is small anyway, or not known, is found"; else pass "not what is small anyway, or not known"; fi
sed -i 's/run_time: 1h, console: 1MiB/run_time: 1min, console: 64KiB/' "$place/sized.yaml"
expect_status "lowered" 0 'nothing found' cf lint "$place/sized.yaml"

echo "- size of the log"
policy logged "cmdline: quiet end=button" "limits: {log: 1MiB}" >/dev/null
"$cofferdam" --host "$place/host.yaml" run "$place/logged.yaml" >"$place/logged.out" 2>&1 </dev/null &
launcher=$!
wait_for 20 grep -q 'power button' "$place/logged.out"
read -r -d '' ask <<'PYTHON'
import socket, sys, time
end = time.monotonic() + 60
asked = 0
while time.monotonic() < end:
    caller = socket.socket(socket.AF_UNIX)
    caller.settimeout(20)
    caller.connect(sys.argv[1])
    for asked in range(asked, asked + 50):
        caller.sendall(b'{"request": "ps"}\n')
        answer = caller.recv(65536)
        if b"limits.log" in answer:
            sys.exit(0 if asked > 500 else f"after {asked} requests")
        if b'"ok":true' not in answer: # the auditor is behind: it slows a flood down
            break
    caller.close()
sys.exit(f"after {asked} requests: {answer}")
PYTHON
expect_status "requests are granted until it is full" 0 '' python3 -c "$ask" "$place/run/logged.sock"
expect_status "a stop has room" 0 '' cf stop logged
wait $launcher
log=$(ls "$place"/log/logged-*.jsonl)
size=$(stat -c %s "$log")
if [ "$size" -gt $((1 << 20)) ] && [ "$size" -lt $(((1 << 20) + (160 << 10))) ]; then pass "the log has its size"; else fail "the log has $size bytes"; fi
for record in 'a cap of VM logged was reached: size of the log' 'stop granted to uid' 'VM logged is to stop: a control request' 'VM logged ended: power-off'; do
	expect_status "in the log: $record" 0 "$record" cf audit show "$log"
done
expect_sealed "$log"
expect_clean "nothing is left" tasks grow spin pinned nowhere logged

expect_status "the plan shows the caps" 0 "limits.operations.*$reads_per_second/s" cf plan "$place/operations.yaml"
finish
