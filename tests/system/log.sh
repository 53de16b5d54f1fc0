#!/bin/bash
# The log when everything is killed at once, both auditors included, at random moments while a VM starts, runs and stops;
# when an auditor alone is; on a disk that is full or becomes so, in each of the policy's modes; with its folder removed; in
# segments; of a VM that does not start. What was acknowledged is in the log, signed; what a log is called is what its bytes
# can carry; the host's log says how the run ended.
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi
key=$(cf audit keygen)
judged() { cf audit verify --pubkey "$key" --host-log "$place/log/host.jsonl" "$1"; }
verdict() { judged "$1" | sed 's/^[^:]*: \([a-z-]*\):.*/\1/'; }
cf_small() { timeout -k 5 60 "$cofferdam" --host "$place/small.yaml" "$@"; }
gone() { local p; for p in "$@"; do [ -d "/proc/$p" ] && ! grep -q '^State:.*Z' "/proc/$p/status" && return 1; done; return 0; }
is_running() { grep -q '"vm_running"' "$place"/log/all-*.jsonl; }
signed_twice() { [ "$(cat "$place"/log/all-*.jsonl 2>/dev/null | grep -c '"event_code":"checkpoint"')" -ge 2 ]; }
# What was born after the list of those to kill was made ends by itself, and only then is the run over.
# A mark that was being made stays as RUN.new for a minute.
settled() { cf audit settle && [ -z "$(ls --ignore='*.new' "$place/log/running")" ]; }
random_wait() { read -r -t "0.$(printf '%03d' $((RANDOM % $1)))" -u "$idle" _ || true; }

echo "- kill -9 of everything at once"
rounds=25
[ "${ROUNDS:-some}" = full ] && rounds=500
policy all 'cmdline: list end=button' >/dev/null
declare -A verdicts=()
asked=0
witnessed=0 # rounds in which who writes the host's log was killed with the rest
mkdir "$place/log-killed"
# signed_to FILE...: what is said of a log of these files that is signed to its end, and not closed.
signed_to() {
	local seconds ms
	read -r seconds ms < <(tail -n 1 "${!#}" | sed 's/.*"time":\([0-9]*\)\([0-9]\{3\}\)[,}].*/\1 \2/')
	echo "unsealed: signed to record $(cat "$@" | wc -l) at $(date -u -d "@$seconds" +%Y-%m-%dT%H:%M:%S)[.]${ms}Z, not closed"
}
host_log_is_whole() {
	expect_status "the host's log is whole after all that" 11 "$(signed_to "$place/log/host.jsonl")" cf audit verify --pubkey "$key" "$place/log/host.jsonl"
	expect_status "by docs/verify.py, too" 11 'unsealed' "$top/docs/verify.py" --pubkey "$key" "$place/log/host.jsonl"
}
for round in $(seq "$rounds"); do
	if [ $((round % 50)) = 0 ]; then # it is read from its beginning each time: a new one, before that takes minutes
		host_log_is_whole
		mv "$place/log" "$place/log-$round"
		key=$(cf audit keygen)
	fi
	: >"$place/all.out"
	"$cofferdam" --host "$place/host.yaml" run "$place/all.yaml" >"$place/all.out" 2>&1 </dev/null &
	launcher=$!
	answered=0 # requests: what was answered is signed
	stopper=
	case $((round % 6)) in
	0) wait_for 10 signed_twice ;; # later than its first words: all of these are signed by then
	1)
		wait_for 10 is_running
		for request in pause resume; do
			cf $request all >/dev/null 2>&1 && answered=$((answered + 1))
		done
		asked=$((asked + answered))
		;;
	2 | 3) # while it runs, and while it stops
		wait_for 10 is_running
		[ $((round % 6)) = 2 ] || { cf stop all >/dev/null 2>&1 & stopper=$!; }
		random_wait 60
		;;
	*) random_wait 60 ;;
	esac
	pids=($launcher)
	while read -r pid called; do
		pids+=("$pid")
		[ "$called" != host-auditor ] || witnessed=$((witnessed + 1))
	done < <(ps -o pid=,comm= --ppid $launcher)
	kill -9 "${pids[@]}" 2>/dev/null
	wait $launcher $stopper 2>/dev/null
	wait_for 10 gone "${pids[@]}" || fail "round $round: not all are gone"
	ran=$(grep -c 'power button' "$place/all.out")
	wait_for 20 settled || { fail "round $round: the host's log does not take the run's end" "$(ls "$place/log/running")"; break; }
	for log in "$place"/log/all-*.jsonl; do
		[ -e "$log" ] || continue
		said=$(judged "$log")
		found=$(sed 's/^[^:]*: \([a-z-]*\):.*/\1/' <<<"$said")
		verdicts[$found]=$((${verdicts[$found]:-0} + 1))
		other=$("$top/docs/verify.py" --pubkey "$key" --host-log "$place/log/host.jsonl" "$log" | sed 's/.*: //')
		case $found in
		unsealed | unsigned-tail | torn | sealed | empty) ;;
		*) fail "round $round: $found" "$(cat "$log")" ;;
		esac
		[ "$found" != unsealed ] || grep -q ": $(signed_to "$log")" <<<"$said" || fail "round $round: it is signed to its end, and that is not said" "$said; $(signed_to "$log")"
		[ "$found" = "$other" ] || fail "round $round: $found, but $other by docs/verify.py"
		signed=$(cf audit verify --json "$log" | sed 's/.*"signed_to":\([0-9]*\).*/\1/')
		if [ "$ran" -ge 1 ] && ! grep -q '"event_code":"vm_starting"' <(head -n "$signed" "$log"); then
			fail "round $round: the guest ran, and its start is not in what is signed" "$(cf audit show "$log")"
		fi
		[ "$answered" = 0 ] || [ "$(head -n "$signed" "$log" | grep -c '"event_code":"control_granted"')" -ge "$answered" ] ||
			fail "round $round: of $answered requests that were answered not all are in what is signed" "$(cf audit show "$log")"
		run=$(sed -n '1s/.*"run":"\([0-9a-f]*\)".*/\1/p' "$log")
		end=$(sed -n "s/.*\"event_code\":\"\(run_[a-z]*ed\)\".*\"run\":\"${run:-none}\".*/\1/p" "$place/log/host.jsonl" | tail -n 1)
		case $found:$end in # torn in its first line it had not begun
		sealed:run_sealed | unsealed:run_unsealed | unsigned-tail:run_unsealed | torn:run_unsealed | torn:run_refused) ;;
		*) [ -z "$run" ] || fail "round $round: the log is $found, and of its run the host's log says '$end'" "$(cf audit show "$place/log/host.jsonl" | tail -n 5)" ;;
		esac
		mv "$log" "$place/log-killed/" # finish looks at each line
	done
done
tally=$(for found in "${!verdicts[@]}"; do printf '%s %s, ' "$found" "${verdicts[$found]}"; done)
[ "${verdicts[unsealed]:-0}" -ge 1 ] && pass "unsealed logs were among them" || fail "no log was unsealed: nothing was killed in time" "$tally"
echo "  $rounds rounds: ${tally%, }"
[ "$asked" -ge $((rounds / 5)) ] && pass "and requests that were answered" || fail "only $asked requests were answered in $rounds rounds"
[ "$witnessed" -ge $((rounds / 4)) ] && pass "who writes the host's log was among the killed" || fail "who writes the host's log was killed in $witnessed of $rounds rounds"
host_log_is_whole
wait_for 10 cf ps >/dev/null
expect_clean "nothing is left" all

# start_vm NAME: a guest that waits for its power button, as $launcher, its output in $place/NAME.out.
start_vm() {
	"$cofferdam" --host "${2:-$place/host.yaml}" run "$place/$1.yaml" >"$place/$1.out" 2>&1 </dev/null &
	launcher=$!
	wait_for 20 grep -q 'power button' "$place/$1.out" || fail "$1 does not start" "$(cat "$place/$1.out")"
}
auditor_of() { local pid; for pid in $(children "$1"); do tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q 'auditor 3 $' && echo "$pid"; done; }
said() { cf_small ps >/dev/null; grep -q "$1" "$place/$2.out"; }
events() { sed 's/.*"event_code":"\([a-z_]*\)".*/\1/' "$@" | sort | uniq -c | tr -s ' \n' ' '; }

# FOLDER NAME: of the VM of $launcher. The guest does not wait for the host's log to have its start; what spoils a folder does.
has_start() {
	wait_for 20 sh -c 'grep -q "\"run_started\".*\"vm\":\"$1\"" "$0"/host*.jsonl' "$1" "$2" || fail "the host's log has no start of $2"
	host_auditor=none
	for child in $(ps -o pid= --ppid $launcher); do
		[ "$(cat "/proc/$child/comm")" != host-auditor ] || host_auditor=$child
	done
	# It has answered when it waits for the next question: recvfrom is number 45.
	wait_for 20 grep -q '^45 ' "/proc/$host_auditor/syscall" || fail "the host's auditor of $2 does not wait" "$(cat "/proc/$host_auditor/syscall")"
}

# The disk becomes full while the VM runs: the log says so and how the VM ends, in room that was taken before.
fills_up() {
	local mode=$1 status log
	mount -t tmpfs -o size=512k,mode=755 small "$place/small" || return
	policy "full-$mode" 'cmdline: list end=button' "audit: {on_failure: $mode}" >/dev/null
	start_vm "full-$mode" "$place/small.yaml"
	has_start "$place/small" "full-$mode"
	cat /dev/zero >"$place/small/filler" 2>/dev/null
	wait_for 40 said 'its log cannot be written: No space left' "full-$mode" && pass "$mode: it is said" || fail "$mode: nothing is said" "$(cat "$place/full-$mode.out")"
	if [ "$mode" = halt ]; then
		wait $launcher
		status=$?
		[ $status = 125 ] && grep -q 'its log could not be written' "$place/full-$mode.out" && pass "halt: the VM ends" || fail "halt: status $status" "$(cat "$place/full-$mode.out")"
		rm "$place/small/filler"
	else
		expect_status "$mode: the VM goes on and can be seen" 0 'running' cf_small ps
		if [ "$mode" = refuse ]; then
			expect_status "refuse: what cannot be recorded is refused" 1 'on_failure' cf_small audit rotate "full-$mode"
			expect_status "refuse: the log can be read on a full disk; that this is not noted is said" 0 'was read: .*No space left' cf_small audit show "$place/small/full-$mode"-*.jsonl
			rm "$place/small/filler"
			wait_for 20 said 'its log is written again' "full-$mode" && pass "refuse: with room the log goes on" || fail "refuse: the log does not go on" "$(cat "$place/full-$mode.out")"
		else
			expect_status "continue: it is granted, and finds no room" 1 'No space left' cf_small audit rotate "full-$mode"
		fi
		cf_small stop "full-$mode" >/dev/null || fail "$mode: it cannot be stopped" "$(cat "$place/full-$mode.out")"
		wait $launcher
		status=$?
		[ $status = 0 ] && pass "$mode: it ends as it should" || fail "$mode: status $status" "$(cat "$place/full-$mode.out")"
		rm -f "$place/small/filler"
	fi
	cf_small audit settle
	log=$(ls "$place/small/full-$mode"-*.jsonl)
	expect_sealed "$log"
	for event in log_full vm_stopping records_dropped log_closed; do
		grep -q "\"event_code\":\"$event\"" "$log" || fail "$mode: no $event in its log" "$(events "$log")"
	done
	grep -qE '"event_code":"vm_(stopped|crashed)"' "$log" && pass "$mode: how it ended is in its log" || fail "$mode: no end in its log" "$(events "$log")"
	[ "$(du -k "$log" | cut -f1)" -le $(($(stat -c %s "$log") / 1024 + 8)) ] && pass "$mode: the room is given back" || fail "$mode: the log takes $(du -k "$log")"
	expect_status "$mode: every line is an event of OCSF" 0 ' 0 wrong' "$top/tests/ocsf" "$place"/small/*.jsonl
	expect_status "$mode: the host's log is whole" 11 "$(signed_to "$place/small/host.jsonl")" cf_small audit verify "$place/small/host.jsonl"
	umount "$place/small"
}

echo "- the auditor alone is killed"
for mode in refuse halt continue; do
	policy "dead-$mode" 'cmdline: list end=button' "audit: {on_failure: $mode}" >/dev/null
	start_vm "dead-$mode"
	kill -9 "$(auditor_of $launcher)"
	wait_for 20 grep -q 'its log cannot be written: the process that writes it is gone' "$place/dead-$mode.out" && pass "$mode: it is said" || fail "$mode: nothing is said" "$(cat "$place/dead-$mode.out")"
	if [ $mode = refuse ]; then
		expect_status "refuse: the VM goes on" 0 'running' cf ps
		expect_status "refuse: no more is granted than to see and to end it" 1 'on_failure' cf audit rotate "dead-$mode"
		cf stop "dead-$mode" >/dev/null || fail "refuse: it cannot be stopped"
	elif [ $mode = continue ]; then
		for request in pause resume; do expect_status "continue: $request is done, unrecorded" 0 '' cf $request "dead-$mode"; done
		cf stop "dead-$mode" >/dev/null || fail "continue: it cannot be stopped"
	fi
	wait $launcher
	status=$?
	[ $status = 125 ] && pass "$mode: the end says that the log is not whole" || fail "$mode: status $status" "$(cat "$place/dead-$mode.out")"
	log=$(ls "$place/log/dead-$mode"-*.jsonl)
	[[ "$(verdict "$log")" =~ ^(unsealed|unsigned-tail)$ ]] && pass "$mode: unsealed" || fail "$mode: $(verdict "$log")" "$(cf audit show "$log")"
	grep -q "\"event_code\":\"run_unsealed\".*\"vm\":\"dead-$mode\"" "$place/log/host.jsonl" && pass "$mode: the host's log has it" || fail "$mode: not in the host's log"
done

echo "- the host's auditor is killed"
policy unwatched 'cmdline: list end=button' >/dev/null
start_vm unwatched
has_start "$place/log" unwatched
kill -9 "$host_auditor"
expect_status "the VM goes on" 0 'running' cf ps
cf stop unwatched >/dev/null || fail "it cannot be stopped"
wait $launcher
status=$?
[ $status = 0 ] && grep -q "writes the host's log is gone" "$place/unwatched.out" && pass "its end is as usual, and what is missing is said" || fail "status $status" "$(cat "$place/unwatched.out")"
cf audit settle || fail "the host's log does not go on"
grep -q '"event_code":"run_sealed".*"vm":"unwatched"' "$place/log/host.jsonl" && pass "who comes next says how it ended" || fail "no end" "$(tail -n 3 "$place/log/host.jsonl")"

echo "- a host's log that cannot be written"
policy unheard 'cmdline: list end=button' >/dev/null
cp "$place/log/host.key" "$place/host.key"
echo spoilt >"$place/log/host.key"
expect_status "the VM ends" 125 'host.key of the host.s log is not whole' cf run "$place/unheard.yaml"
cp "$place/host.key" "$place/log/host.key"
cf audit settle || fail "the host's log does not go on"
grep -q '"event_code":"run_started".*"vm":"unheard"' "$place/log/host.jsonl" && pass "and is in the host's log with the next command" || fail "it is not in the host's log" "$(tail -n 3 "$place/log/host.jsonl")"

echo "- a log in segments"
policy parts 'cmdline: list end=button' >/dev/null
start_vm parts
first=$(ls "$place"/log/parts-*.jsonl)
cf audit show --follow --event log_continued "$first" >"$place/continued" 2>&1 &
shower=$!
cf audit forward --follow "$first" >"$place/handed-on" 2>&1 &
sender=$!
wait_for 20 grep -q TIME "$place/continued" && wait_for 20 grep -q vm_running "$place/handed-on" || fail "a log is not followed" "$(cat "$place/continued" "$place/handed-on")"
expect_status "the log goes on in another file" 0 "^${first##*/} is closed, signed to record [0-9]+; the log goes on in parts-.*[.]2[.]jsonl$" cf audit rotate parts
grep -q log_continued "${first%.jsonl}.2.jsonl" && grep -q log_rotated "$first" && pass "and does so when that is said" || fail "no second segment" "$(ls "$place/log")"
cf audit settle && [ -n "$(ls "$place/log/running")" ] && pass "its run is not over then" || fail "settled while it runs"
[ "$(stat -c %b "$first")" -lt 64 ] && pass "what was closed keeps no room for more" || fail "room is kept" "$(stat "$first")"
cf audit rotate parts >/dev/null || fail "no third segment" "$(ls "$place/log")"
expect_status "so does the host's" 0 '^host.jsonl is closed, signed to record [0-9]+; the log goes on in host.2.jsonl$' cf audit rotate
cf stop parts >/dev/null
wait $launcher || fail "parts: status $?" "$(cat "$place/parts.out")"
wait $shower && [ "$(grep -c 'log_continued' "$place/continued")" = 2 ] && pass "who follows it sees what is in the other files, to the end" || fail "show --follow" "$(cat "$place/continued")"
if wait $sender && diff <(sed 's/^[^{]*//' "$place/handed-on") <(cat "$first" "${first%.jsonl}".[23].jsonl) >"$place/diff"; then pass "and hands it on"; else
	fail "forward --follow" "$(head -c 2000 "$place/diff")"
fi
cf audit rotate >/dev/null || fail "the host's log is not rotated again"
expect_status "rotated or not, it is one log" 0 'sealed' cf audit verify --pubkey "$key" --host-log "$place/log/host.jsonl" "$first"
expect_status "by docs/verify.py, too" 0 'sealed' "$top/docs/verify.py" --pubkey "$key" --host-log "$place/log/host.jsonl" "$first"
expect_status "no key of the host's log is none" 10 '"verdict":"self-signed",.*"key_given":false' cf audit verify --json --host-log "$place/log/host.jsonl" "$first"
[ -s "$place/log/host.2.jsonl" ] && cf audit settle && [ -s "$place/log/host.3.jsonl" ] && pass "the host's log has three files" || fail "not three files" "$(ls -l "$place/log")"
expect_status "and is one log" 11 "$(signed_to "$place"/log/host.jsonl "$place"/log/host.[23].jsonl)" cf audit verify --pubkey "$key" "$place/log/host.jsonl"
expect_status "by docs/verify.py, too" 11 'unsealed' "$top/docs/verify.py" --pubkey "$key" "$place/log/host.jsonl"
cf audit prove --pubkey "$(log_key "$first")" "$first" 3 >"$place/proof" && cf audit check-proof --pubkey "$(log_key "$first")" "$place/proof" | grep -q resource_opened && pass "a record of the first is proved by the last" || fail "no proof over segments"
last=${first%.jsonl}.3.jsonl
for verifier in "cf audit verify" "$top/docs/verify.py"; do
	expect_status "a segment is checked alone: the second" 14 'continued' $verifier "${first%.jsonl}.2.jsonl"
	expect_status "the last, by its own key" 10 'self-signed' $verifier "$last"
	expect_status "the last, by the host's log" 0 'sealed' $verifier --pubkey "$key" --host-log "$place/log/host.jsonl" "$last"
	cp "$last" "$place/beginning.jsonl"
	expect_status "under another name its beginning is missing" 21 'missing' $verifier "$place/beginning.jsonl"
done
expect_status "what was not looked at is said" 10 'records 1 to [0-9]+ are in segments before this' cf audit verify "$last"
# A shell names the later files before the first.
cf audit forward --cursor "$place/forwarded" "${first%.jsonl}.2.jsonl" "${first%.jsonl}.3.jsonl" "$first" >"$place/messages" || fail "segments are not handed on" "$(cat "$place/messages")"
if diff <(sed 's/^[^{]*//' "$place/messages") <(cat "$first" "${first%.jsonl}".[23].jsonl) >"$place/diff"; then pass "all of a log is handed on, in order, whatever its files are called in"; else
	fail "not all of a log is handed on" "$(head -c 2000 "$place/diff")"
fi
expect_status "and once" 0 '^$' cf audit forward --cursor "$place/forwarded" "$first" "${first%.jsonl}.2.jsonl"
mv "$first" "$place/first" # a file that was handed on may be taken away
expect_status "what is left of it was handed on, too" 0 '^$' cf audit forward --cursor "$place/forwarded" "${first%.jsonl}.2.jsonl" "${first%.jsonl}.3.jsonl"
for time in first second; do
	cf audit forward --cursor "$place/later" "${first%.jsonl}.2.jsonl" "${first%.jsonl}.3.jsonl" >"$place/$time-time" || fail "later segments are not handed on the $time time" "$(cat "$place/$time-time")"
done
if diff <(sed 's/^[^{]*//' "$place/first-time") <(cat "${first%.jsonl}".[23].jsonl) >"$place/diff" && ! [ -s "$place/second-time" ]; then pass "later segments are, in order and once"; else
	fail "not all of later segments is handed on, or more" "$(head -c 2000 "$place/diff" "$place/second-time")"
fi
mv "$place/first" "$first"
expect_status "no VM of that name" 1 'never written again' cf audit rotate parts
mv "${first%.jsonl}.3.jsonl" "$place/third"
expect_status "a segment that is gone" 30 'cut' cf audit verify --pubkey "$key" --host-log "$place/log/host.jsonl" "$first"
expect_status "by docs/verify.py, too" 30 'cut' "$top/docs/verify.py" --pubkey "$key" --host-log "$place/log/host.jsonl" "$first"
expect_status "by the log alone" 14 'continued' cf audit verify "$first"
expect_status "of all runs, some of them gone, the one that was cut is found" 33 "parts-.*: cut: " cf audit verify --pubkey "$key" --host-log "$place/log/host.jsonl"
mv "$first" "$place/first"
expect_status "of all runs, the one that is gone is found" 33 "parts-.*: run-missing: " cf audit verify --pubkey "$key" --host-log "$place/log/host.jsonl"
expect_status "and how far the host's log goes" 33 "host.jsonl: unsealed: signed to record [0-9]+ at" cf audit verify --pubkey "$key" --host-log "$place/log/host.jsonl"
expect_status "a log that is gone" 33 'run-missing' cf audit verify --pubkey "$key" --host-log "$place/log/host.jsonl" "$first"
expect_status "by docs/verify.py, too" 33 'run-missing' "$top/docs/verify.py" --pubkey "$key" --host-log "$place/log/host.jsonl" "$first"
expect_status "in JSON, an object a line" 33 '^[{]"log":"[^"]*parts-[^"]*","verdict":"run-missing","status":33,' cf audit verify --json --pubkey "$key" --host-log "$place/log/host.jsonl"
expect_status "with an anchor, of one log alone" 2 'without one --host-log and no --anchor' cf audit verify --anchor "$place/proof" --host-log "$place/log/host.jsonl"
mv "$place/first" "$first" && mv "$place/third" "${first%.jsonl}.3.jsonl"
expect_status "every line is an event of OCSF" 0 ' 0 wrong' "$top/tests/ocsf" "$place"/log/*.jsonl

echo "- who reads and verifies a log"
host=$place/log/host.jsonl
expect_status "who verified a log is in the host's log, with the verdict" 0 'parts-[^ ]*jsonl verified: sealed' cf audit show --event log_verified "$host"
expect_status "so is a verdict against a log, and which of all runs'" 0 'parts-[^ ]*jsonl does not verify: run-missing' cf audit show --event log_doubted "$host"
expect_status "of all runs, how many have which" 0 'host.jsonl does not verify, logs in all: .*: .*cut: 1' cf audit show --event log_doubted "$host"
cf audit anchor "$first" >/dev/null
cf audit report "$first" "$host" >/dev/null
expect_status "who read one" 0 'parts-[^ ]*jsonl read by .audit anchor' cf audit show --event log_read "$host"
expect_status "who read several, once" 0 'parts-[^ ]*jsonl read by .audit report., logs in all: 2; the others: host.jsonl' cf audit show --event log_read "$host"
expect_status "and who looks is seen at once" 0 'host.jsonl read by .audit show' cf audit show --event log_read "$host"
mkdir "$place/copy" && cp "$place"/log/*.jsonl "$place/copy/"
before=$(cat "$place"/log/host*.jsonl | sha256sum)
expect_status "a copy is verified without a trace" 0 'sealed' cf audit verify --pubkey "$key" --host-log "$place/copy/host.jsonl" "$place/copy/${first##*/}"
cf audit show "$place/copy/host.jsonl" >/dev/null && [ "$(cat "$place"/log/host*.jsonl | sha256sum)" = "$before" ] && [ ! -e "$place/copy/host.lock" ] && pass "neither here nor there" || fail "a copy that was read left a trace" "$(ls "$place/copy")"
if [ "$(id -u)" = 0 ]; then
	chmod 755 "$place" "$place/log" && chmod 644 "${first%.jsonl}"*.jsonl
	reader() { timeout -k 5 60 unshare --mount bash -c '"$0/tests/system/reachable" && exec setpriv --reuid 54321 --regid 54321 --clear-groups "$@"' "$top" "$cofferdam" --host "$place/host.yaml" "$@"; }
	expect_status "who cannot write the host's log verifies all the same" 10 'self-signed: ' reader audit verify "$first"
	expect_status "and is told that it is not noted" 10 "the host's log does not have that parts-[^ ]* was verified" reader audit verify "$first"
	chmod 700 "$place" && chmod 750 "$place/log"
fi

echo "- a policy that changes"
hash_of() { sed -n "s/.*\"event_code\":\"policy_loaded\".*\"$2\":\"\([0-9a-f]*\)\".*/\1/p" "$1"; }
hashes=
for memory in 64 64 80; do
	policy changing "machine: {vcpus: 1, memory: ${memory}MiB}" >/dev/null
	cf run "$place/changing.yaml" >"$place/changing.out" 2>&1 || fail "changing: status $?" "$(cat "$place/changing.out")"
	log=$(ls -t "$place"/log/changing-*.jsonl | head -1)
	hashes="$hashes$(hash_of "$log" policy_before) $(hash_of "$log" policy)|"
done
[[ "$hashes" =~ ^\ ([0-9a-f]{64})\|([0-9a-f]{64})\ ([0-9a-f]{64})\|([0-9a-f]{64})\ ([0-9a-f]{64})\|$ ]] && [ "${BASH_REMATCH[1]}${BASH_REMATCH[1]}${BASH_REMATCH[3]}" = "${BASH_REMATCH[2]}${BASH_REMATCH[3]}${BASH_REMATCH[4]}" ] &&
	[ "${BASH_REMATCH[4]}" != "${BASH_REMATCH[5]}" ] && pass "a run's log has the hash of the policy before" || fail "hashes of policies: $hashes"

echo "- an anchor of the host's log"
cf audit anchor "$host" >"$place/host.anchor" || fail "no anchor" "$(cat "$place/host.anchor")"
expect_status "it is in the host's log" 11 'unsealed' cf audit verify --pubkey "$key" --anchor "$place/host.anchor" "$host"
expect_status "by docs/verify.py, too" 11 'unsealed' "$top/docs/verify.py" --pubkey "$key" --anchor "$place/host.anchor" "$host"
expect_status "of one log, it is no evidence against others" 2 'give that log alone' cf audit report --pubkey "$key" --host-log "$host" --anchor "$place/host.anchor" "$host" "$first"
expect_status "nor is a log's key" 2 'give that log alone' cf audit forward --pubkey "$(log_key "$first")" "$first" "$host"
expect_status "an older copy is found" 32 'rolled-back' cf audit verify --pubkey "$key" --anchor "$place/host.anchor" "$place/copy/host.jsonl"
expect_status "by docs/verify.py, too" 32 'rolled-back' "$top/docs/verify.py" --pubkey "$key" --anchor "$place/host.anchor" "$place/copy/host.jsonl"

echo "- a VM that does not start"
mkdir "$place/programs" && cp "$B"/cofferdam-* "$place/programs/" && rm "$place/programs/cofferdam-device"
sed "\$a\  programs: \"$place/programs\"" "$place/host.yaml" >"$place/lame-host.yaml"
chmod go-w "$place/lame-host.yaml" "$place/programs"
policy lame >/dev/null
expect_status "it says why" 125 'cofferdam-device' timeout -k 5 60 "$cofferdam" --host "$place/lame-host.yaml" run "$place/lame.yaml"
expect_status "the host's log has it, with the reason" 0 'VM lame not started: .*cofferdam-device' cf audit show --event run_refused "$place/log/host.jsonl"
[ -z "$(ls "$place"/log/lame-*.jsonl 2>/dev/null; ls --ignore='*.new' "$place/log/running")" ] && pass "nothing else is left of it" || fail "left behind" "$(ls -R "$place/log")"

policy unfit 'machine: {vcpus: 99}' >/dev/null
expect_status "a policy with a mistake" 125 'vcpus' cf run "$place/unfit.yaml"
expect_status "is in the host's log, with the mistake" 0 'policy refused: .*unfit.yaml:[0-9]+: ' cf audit show --event policy_refused "$place/log/host.jsonl"
deep=$place
for folder in a b c d; do deep=$deep/$folder$(printf 'é%.0s' {1..100}); done
mkdir -p "$deep" && cp "$place/unfit.yaml" "$deep/unfit.yaml" && cp "$place/unfit.yaml" "$deep/misfit.yaml"
for name in unfit misfit; do # a byte more: of characters of two bytes, one or the other is where it is cut
	said=$(cf run "$deep/$name.yaml" 2>&1 </dev/null | sed -n 's/.*fit[.]yaml:[0-9:]*: error: //p' | head -1)
	shown=$(cf audit show --event policy_refused "$place/log/host.jsonl" | tail -n 1)
	[ -n "$said" ] && grep -qE "policy refused: ….*é/$name[.]yaml:[0-9]+: " <<<"$shown" && grep -qF ": $said" <<<"$shown" && pass "of a long path the end is there, and the mistake is whole" ||
		fail "the record lacks the mistake '$said'" "$shown"
done
grep -q '"event_code":"policy_refused".*"reason":"[^"]*�' "$place/log/host.jsonl" && fail "a character of the path was cut" "$shown"

echo "- no room, no folder"
if [ "$(id -u)" = 0 ] && mkdir "$place/small" && mount -t tmpfs -o size=24k,mode=755 small "$place/small" 2>/dev/null; then
	trap 'umount -l "$place/small" 2>/dev/null; for job in $(jobs -p); do kill -9 "$job"; done 2>/dev/null; rm -rf "$place"' EXIT
	sed "s|$place/log|$place/small|" "$place/host.yaml" >"$place/small.yaml"
	chmod go-w "$place/small.yaml"
	head -c 20480 /dev/zero >"$place/small/filler"
	expect_status "a full disk: nothing starts" 125 'No space left|cannot write|log' cf_small run "$place/all.yaml"
	umount "$place/small"
	mount -t tmpfs -o size=16m,mode=755 small "$place/small"
	policy roomy >/dev/null
	for filler in 11:0 13:1; do # MiB of 16, and how many warnings that is worth
		head -c "${filler%:*}M" /dev/zero >"$place/small/filler"
		cf_small run "$place/roomy.yaml" >"$place/roomy.out" 2>&1 </dev/null || fail "a VM with some room" "$(cat "$place/roomy.out")"
		log=$(ls -t "$place/small/roomy"-*.jsonl | head -1)
		said="$(grep -c '% full' "$place/roomy.out") $(grep -c '"event_code":"space_low"' "$log")"
		[ "$said" = "${filler#*:} ${filler#*:}" ] && pass "with ${filler%:*} of 16 MiB taken" || fail "with ${filler%:*} of 16 MiB taken: $said warnings and records" "$(cat "$place/roomy.out")"
	done
	umount "$place/small"
	for mode in refuse halt continue; do fills_up $mode; done
else
	skip "a full disk: needs root and a mount"
fi
policy gone 'cmdline: list end=button' >/dev/null
"$cofferdam" --host "$place/host.yaml" run "$place/gone.yaml" >"$place/gone.out" 2>&1 </dev/null &
launcher=$!
wait_for 20 grep -q 'power button' "$place/gone.out" || fail "gone does not start" "$(cat "$place/gone.out")"
has_start "$place/log" gone
mv "$place/log" "$place/log.away"
(cd "$place" && exec timeout -k 5 60 "$cofferdam" audit show --follow --event vm_stopped "$place"/log.away/gone-*.jsonl) >"$place/followed" 2>&1 &
follower=$!
wait_for 10 grep -q TIME "$place/followed" || fail "show --follow shows nothing" "$(cat "$place/followed")"
cf stop gone >/dev/null
wait $launcher
status=$?
[ $status = 0 ] && pass "the folder is moved away: the VM ends as it should" || fail "folder moved away: status $status" "$(cat "$place/gone.out")"
wait $follower
status=$?
[ $status = 0 ] && grep -q vm_stopped "$place/followed" && pass "show --follow ends with the log" || fail "show --follow: status $status" "$(cat "$place/followed")"
grep -q 'was moved or removed while the VM ran' "$place/gone.out" && pass "which is said" || fail "nothing is said" "$(cat "$place/gone.out")"
expect_status "and its log is sealed where it is" 0 'sealed' cf audit verify --pubkey "$(log_key "$place"/log.away/gone-*.jsonl)" "$place"/log.away/gone-*.jsonl
policy removed 'cmdline: list end=button' >/dev/null
start_vm removed
has_start "$place/log" removed
key=$(cf audit keygen)
cp -r "$place/log" "$place/log-before"
rm -r "$place/log"
cf stop removed >/dev/null
wait $launcher
status=$?
[ $status = 0 ] && grep -q 'was moved or removed while the VM ran' "$place/removed.out" && pass "the folder is removed: the VM ends as it should, and it is said" || fail "folder removed: status $status" "$(cat "$place/removed.out")"
cf audit settle || fail "no other host's log is begun"
expect_status "the host's log that was begun since does not pass for the old one" 26 'unknown-key' cf audit verify --pubkey "$key" "$place/log/host.jsonl"
expect_status "by docs/verify.py, too" 26 'unknown-key' "$top/docs/verify.py" --pubkey "$key" "$place/log/host.jsonl"
finish
