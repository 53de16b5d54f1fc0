#!/bin/bash
# System call filters as the operator sees them: `plan --filters` and the log agree, and what a process that has been
# taken over does to its jail is in the log, as a fact and as its own word. Plays the taken-over process with the jail
# tests' probe in the place of one program.
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi
make --no-print-directory -C "$top" B="$B" "$B/probe" >/dev/null || exit 1

echo "- hashes"
policy hashes 'machine: {vcpus: 2, memory: 64MiB}' 'cmdline: first' >/dev/null
cf run "$place/hashes.yaml" </dev/null >/dev/null 2>&1 || fail "the VM does not run"
planned() { cf plan --json "$place/hashes.yaml" | python3 -c '
import json, sys
for process in json.load(sys.stdin)["processes"]:
    print(process["id"], *(thread["thread"] + "=" + thread["sha256"] for thread in process["threads"]))' | sort; }
logged() { python3 -c '
import json, sys
names = {"supervisor": 1, "monitor": 2, "auditor": 3, "device \x27console\x27": 4, "device \x27scratch\x27": 5, "device \x27entropy\x27": 6}
for line in open(sys.argv[1]):
    record = json.loads(line)
    details = record["unmapped"]["cofferdam"]["details"]
    if record["metadata"]["event_code"] == "process_started":
        print(names[details["process"]], *(thread + "=" + details["filter_" + thread + "_sha256"]
              for thread in ("main", "vcpu") if "filter_" + thread + "_sha256" in details))' "$place"/log/hashes-*.jsonl | sort; }
if [ "$(logged | wc -l)" = 6 ] && [ "$(planned)" = "$(logged)" ]; then pass "plan and log agree"; else
	fail "plan and log have other filters" "$(diff <(planned) <(logged))"
fi
expect_status "plan --filters names requests" 0 'fd in 21 22 \(each its own vCPU\), request = KVM_RUN' cf plan --filters "$place/hashes.yaml"

echo "- violations"
# taken_over NAME PROGRAM DEED: a run with one program taken over ends with 125.
taken_over() {
	local name=$1 program=$2 deed=$3 file
	mkdir -p "$place/$name"
	for file in cofferdam-supervisor cofferdam-monitor cofferdam-device cofferdam-auditor; do
		ln -f "$B/$file" "$place/$name/" 2>/dev/null || cp "$B/$file" "$place/$name/"
	done
	rm "$place/$name/$program"
	cp "$B/probe" "$place/$name/$program"
	chmod go-w "$place/$name"
	{ cat "$place/host.yaml"; echo "  programs: \"$place/$name\""; } >"$place/$name/host.yaml"
	chmod go-w "$place/$name/host.yaml"
	timeout -k 5 60 "$cofferdam" --host "$place/$name/host.yaml" run "$(policy "$name" 'machine: {vcpus: 2, memory: 64MiB}' "cmdline: deed=$deed")" >"$place/$name.out" 2>&1 </dev/null
	[ $? = 125 ] || { fail "$name: exit status" "$(cat "$place/$name.out")"; return 1; }
}
# violation NAME PROGRAM DEED WANTED: and the violation's record has what is wanted.
violation() {
	local name=$1 wanted=$4 record
	taken_over "$@" || return
	record=$(grep -h '"event_code":"violation"' "$place/log/$name"-*.jsonl)
	if grep -qE -- "$wanted" <<<"$record"; then pass "$name"; else fail "$name: no record with $wanted" "$(cat "$place/$name.out"; echo "$record")"; fi
	expect_sealed "$place/log/$name"-*.jsonl
}
reported='"message":"device .console. .*killed by signal 31; reported by the process itself: '
violation forbidden cofferdam-device forbidden "$reported"'socket in thread main".*"signal":31,.*"reported_arguments":\["0x1111","0x2222".*"reported_call":"socket"'
violation vcpu cofferdam-monitor vcpu-forbidden '"message":"monitor .*killed by signal 31; reported by the process itself: socket in thread vcpu1"'
violation member cofferdam-monitor forbidden '"message":"monitor .*: socket in thread main".*"reported_instruction_pointer":"0x'
violation block cofferdam-device block "$reported"'rt_sigprocmask in thread main"'
violation ignore cofferdam-device ignore "$reported"'rt_sigaction in thread main"'
violation return cofferdam-device return "$reported"'rt_sigreturn in thread main"'
violation silent cofferdam-device silent '"message":"device .console. .*killed by signal 31"'
violation liar cofferdam-device liar "$reported"'number 18446744073709551615 in thread 4294967295"'
violation old-call cofferdam-device old-call '"message":"device .console. .*killed by signal 31"'
violation x32-call cofferdam-device x32-call '"message":"device .console. .*killed by signal 31"'
violation no-page cofferdam-device no-page '"message":"device .console. .*killed by signal 11"'
violation no-room cofferdam-device no-room '"message":"device .console. .*killed by signal 11"'
violation overrun cofferdam-device overrun '"message":"device .console. .*killed by signal 11"'
violation vcpu-overrun cofferdam-monitor vcpu-overrun '"message":"monitor .*killed by signal 11"'
violation enter cofferdam-device enter '"message":"device .console. .*killed by signal 31; reported by the process itself: ppoll'
taken_over waits cofferdam-supervisor hold &&
	expect_status "a start that comes to no end is ended" 0 'the guest does not run 30 s after the start' cat "$place/waits.out"
taken_over auditor cofferdam-auditor forbidden &&
	expect_status "the auditor's own is the launcher's last word" 0 'auditor made a forbidden system call' cat "$place/auditor.out"
finish
