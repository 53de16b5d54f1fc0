#!/bin/bash
# A disk's caps hold, by the host's clock: the built-in guest reads one block after another as fast as it is let, and the log
# says how often it was not. Only more than the cap is wrong: a machine that is busy makes it less.
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

# Of a log: the first request held back is told at once, and the rest together but for those of the last second.
read -r -d '' count <<'PYTHON'
import json, sys
details = [record["unmapped"]["cofferdam"]["details"] for record in map(json.loads, open(sys.argv[1]))
           if record["metadata"]["event_code"] == "cap_reached"]
reads, a_second = int(sys.argv[2]), int(sys.argv[3])
held_back = sum(detail["count"] for detail in details)
good = (len(details) == 2 and details[0]["count"] == 1 and reads - 2 * a_second < held_back <= reads and
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
	expect_status "$cap: the log says so" 0 "a cap of VM $cap was reached: $cap of device scratch, requests held back: " cf audit show "$log"
	expect_status "$cap: the log verifies" 0 . cf audit verify --pubkey "$(log_key "$log")" "$log"
	expect_status "$cap: requests are counted, not listed" 0 '^counted$' python3 -c "$count" "$log" "$READS" "$reads_per_second"
done
if cf audit show "$(ls "$place"/log/free-*.jsonl)" | grep -q 'a cap of'; then fail "a cap that was not reached is in the log"; else pass "no cap reached, none in the log"; fi
expect_status "the plan shows the caps" 0 "limits.operations.*$reads_per_second/s" cf plan "$place/operations.yaml"
finish
