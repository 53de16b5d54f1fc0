#!/bin/bash
# What a user types and reads: options, messages, exit statuses, units; what is said when a run, a log or an output is
# not what it should be.
. "$(dirname "$0")/lib.sh"
commands="run check plan ps inspect start stop kill pause resume wait stats console logs audit doctor selftest"

echo "- words on the command line"
for command in $commands; do
	expect_status "$command --help" 0 "^Usage: cofferdam $command" cf "$command" --help
	usage=2
	case $command in run | wait) usage=125 ;; esac
	expect_status "$command refuses an unknown option" $usage "$command: there is no option --nonesuch; .cofferdam $command --help." cf "$command" --nonesuch
	expect_status "$command refuses an unknown letter" $usage "$command: there is no option -q; .cofferdam $command --help." cf "$command" -q
	expect_status "$command refuses a third argument" $usage "$command --help" cf "$command" verify two three
done
expect_status "another command's option" 2 'ps: there is no option --grace' cf ps --grace 3
expect_status "an option without its value" 2 'stop: --grace needs a value' cf stop --grace
expect_status "an option with a value it does not take" 2 'ps: --json takes no value' cf ps --json=1
expect_status "an argument too many is named" 2 "doctor takes no argument, so 'extra' is too much" cf doctor extra
expect_status "an unknown command" 2 "no command 'rnu'" cf rnu
expect_status "an option for a command" 2 "no option '--json' before a command" "$cofferdam" --json
expect_status "--host without its file" 2 '--host needs a file' "$cofferdam" --host
expect_status "--host= without its file" 2 '--host needs a file' "$cofferdam" --host= ps
expect_status "--host=FILE" 0 '^NAME ' "$cofferdam" --host="$place/host.yaml" ps
expect_status "a second --host" 2 '--host is there once' cf --host "$place/none.yaml" ps
expect_status "--host behind the command" 2 'ps: --host comes before the command' cf ps --host "$place/host.yaml"
expect_status "ps in two forms" 2 'leave --names or --json out' cf ps --names --json
echo 'no host file' >"$place/wrong.yaml"
for command in $commands explain diff lint schema policy set; do
	expect_status "$command --help beside a host file with a mistake" 0 "^Usage: cofferdam $command" "$cofferdam" --host "$place/wrong.yaml" "$command" --help
done
expect_status "what is no option is no cry for help" 125 'wrong.yaml' "$cofferdam" --host "$place/wrong.yaml" stop -- --help
expect_status "a name that no VM can have" 1 "'a/b' cannot be the name of a VM" cf logs a/b
expect_status "no name" 1 "'' cannot be the name of a VM" cf logs ''
expect_status "a policy without a name" 125 "the file's name is empty" cf check ''
expect_status "a cap of a nameless disk" 2 'disks..[.]limits.bandwidth: whose' cf set some 'disks[].limits.bandwidth=1MiB/s'

echo "- words of audit"
expect_status "no subcommand" 2 'audit takes a subcommand' cf audit
expect_status "an unknown one" 2 "audit: there is no subcommand 'nonesuch'" cf audit nonesuch
expect_status "no log" 2 'audit show takes one LOG;' cf audit show
expect_status "a log too many" 2 "audit show takes one LOG, so 'two' is too much" cf audit show one two
expect_status "another subcommand's option" 2 'audit show takes no --pubkey' cf audit show --pubkey key log
expect_status "a filter where there is none" 2 'audit anchor takes no --vm' cf audit anchor --vm some log
expect_status "a day that no month has" 2 "'2026-02-31T00:00:00Z' is no time" cf audit show --since 2026-02-31T00:00:00Z log
expect_status "a key that is missing" 2 'audit check-proof needs --pubkey' cf audit check-proof proof
expect_status "--version" 0 '^cofferdam [0-9]+\.[0-9]+\.[0-9]+$' "$cofferdam" --version

echo "- check"
expect_status "a good policy" 0 'no mistakes' cf check "$(policy good)"
expect_status "a bad policy" 2 'error' cf check "$(policy bad 'machine: {vcpus: many}')"
expect_status "a policy that is not there" 125 'No such file' cf check "$place/none.yaml"
expect_status "a policy that is a folder" 125 'a directory' cf check "$place"
expect_status "the same as JSON" 125 '"problems"' cf check --json "$place/none.yaml"
chmod o+w "$place/bad.yaml"
expect_status "a policy that others may write" 125 'chmod go-w' cf check "$place/bad.yaml"

echo "- output that cannot be written is a failure"
full() { "$@" 2>&1 >/dev/full; }
lost='cannot write to standard output: No space left on device'
nowhere() { "$@" 2>&1 >&-; }
for words in --version ps "ps --json" "check $place/good.yaml" "plan --json $place/good.yaml" "schema --man"; do
	# shellcheck disable=SC2086  # words
	expect_status "$words without an output" 125 'cannot write to standard output: Bad file descriptor' nowhere cf $words
done
for words in --version --help "check $place/good.yaml" "check --json $place/good.yaml" "plan $place/good.yaml" \
	"plan --json $place/good.yaml" ps "ps --json" doctor "doctor --json" "run --help"; do
	# shellcheck disable=SC2086  # words
	expect_status "$words into a full device" 125 "$lost" full cf $words
done

echo "- plan"
plan=$(cf plan "$place/good.yaml")
if grep -qE '^[a-z_.0-9]+(\[[0-9]\])?[a-z_.]* *$|0KiB' <<<"${plan%%$'\n\n'*}"; then fail "plan shows what is not set" "$plan"; else pass "plan leaves out what is not set"; fi
if grep -qx 'files' <<<"$plan"; then fail "plan has a heading without lines" "$plan"; else pass "no empty heading"; fi
expect_status "what is not set is null in JSON" 0 '"value": null' cf plan --json "$place/good.yaml"

if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi

echo "- a running VM, its log, and logs that are none"
start() { # NAME: starts it; sets launcher
	"$cofferdam" --host "$place/host.yaml" run "$place/$1.yaml" >"$place/$1.out" 2>&1 </dev/null &
	launcher=$!
	wait_for 20 grep -q 'power button' "$place/$1.out" || fail "$1 does not start" "$(cat "$place/$1.out")"
}
log_of() { ls "$place"/log/"$1"-*.jsonl | tail -1; }
policy shown 'cmdline: list end=button' >/dev/null
start shown
expect_status "inspect shows units" 0 '^memory +64MiB$' cf inspect shown
expect_status "inspect shows times" 0 '^run_time +24h$' cf inspect shown
expect_status "inspect shows a disk's size" 0 'disk scratch, bandwidth 16GiB/s, operations 1000000/s, size 1MiB, read-write' cf inspect shown
expect_status "inspect --json is numeric" 0 '"memory_bytes": 67108864' cf inspect --json shown
expect_status "ps --json is numeric" 0 '"memory_bytes": 67108864' cf ps --json
if grep -qE ': 0\b|initrd' <<<"$(cf inspect shown)"; then fail "inspect shows what is not set" "$(cf inspect shown)"; else pass "inspect leaves out what is not set"; fi
expect_status "inspect into a full device" 125 "$lost" full cf inspect shown
cf stop shown
wait "$launcher"
log=$(log_of shown)
expect_status "the log's messages have units" 0 'plan made: vCPUs: 1, memory: 64MiB, devices: 3$' cf audit show "$log"
expect_status "audit show into a full device" 125 "$lost" full cf audit show "$log"
expect_status "audit verify into a full device" 125 "$lost" full cf audit verify "$log"
seq 100 >"$place/numbers"
expect_status "audit show of no log" 41 'not an audit log' cf audit show "$place/numbers"
[ "$(cf audit show "$place/numbers" 2>&1 | wc -l)" = 1 ] && pass "says so once" || fail "audit show of no log: more than a line" "$(cf audit show "$place/numbers" 2>&1)"
: >"$place/nothing"
expect_status "audit verify of an empty file" 40 'no record at all' cf audit verify "$place/nothing"
if grep -q 00000000 <<<"$(cf audit verify "$place/nothing"; cf audit verify --json "$place/nothing")"; then fail "an empty file has a last record" "$(cf audit verify "$place/nothing")"; else pass "an empty file has no last record"; fi

policy lost 'cmdline: list end=button' >/dev/null
start lost
kill -9 "$launcher"
wait "$launcher" 2>/dev/null
log=$(log_of lost)
wait_for 20 grep -q '"log_closed"' "$log" || fail "the log of a lost launcher is not closed" "$(cf audit show "$log")"
expect_status "a lost launcher is a failure, with its reason" 0 'vm_crashed +Failure +VM lost crashed: failure \(the launcher was lost' cf audit show "$log"

cf ps >/dev/null # collects what only the launcher could remove
expect_clean "nothing is left of it" lost

echo "- selftest"
mkdir "$place/tmp"
export TMPDIR=$place/tmp
selftest() { "$cofferdam" --host "$place/host.yaml" selftest "$@"; }
works() { ls -d "$place"/tmp/cofferdam-selftest-*/*.jsonl; }
idle() { ! pgrep -f "$place/tmp/cofferdam-selftest"; }
for signal in TERM INT HUP; do
	(exec env --default-signal=INT,HUP "$cofferdam" --host "$place/host.yaml" selftest) >/dev/null 2>"$place/said" &
	wait_for 20 works || fail "selftest does not begin"
	kill -$signal $!
	wait $!
	[ $? = $((128 + $(kill -l $signal))) ] && pass "selftest ends by SIG$signal" || fail "selftest after SIG$signal" "$(cat "$place/said")"
	[ -z "$(ls "$place/tmp")" ] && pass "and leaves no folder" || fail "selftest leaves a folder" "$(ls -R "$place/tmp")"
done
# Killed, it cannot tell its VM to end: the kernel does. Both are stopped in mid-air, to see the signal arrive.
"$cofferdam" --host "$place/host.yaml" selftest >/dev/null 2>&1 &
selftest_pid=$!
caught() {
	kill -STOP $selftest_pid
	child=$(pgrep -P $selftest_pid | head -1)
	[ -n "$child" ] && kill -STOP "$child" && grep -q '^State:.*T' "/proc/$child/status" && return
	kill -CONT $selftest_pid
	return 1
}
told() { (($((16#$(awk '/^ShdPnd/ { print $2 }' "/proc/$child/status"))) & 1 << 14)); } # SIGTERM
if wait_for 20 caught; then
	kill -9 $selftest_pid
	wait $selftest_pid 2>/dev/null
	wait_for 10 told && pass "selftest's VM is told of its end" || fail "selftest's VM is not told of its end" "$(cat "/proc/$child/status")"
	kill -CONT "$child"
else fail "selftest has no child"; fi
wait_for 20 idle && pass "and ends" || fail "selftest's VM outlives it" "$(pgrep -af "$place/tmp/cofferdam-selftest")"
[ -n "$(ls "$place/tmp")" ] || fail "there is no folder that it has left"
printf 'cofferdam: 1\nfolders: {runtime: "%s/run", audit: "%s/log", programs: /nonexistent}\n' "$place" "$place" >"$place/broken.yaml"
expect_status "selftest stops at the first VM that cannot run" 1 '1 of [0-9]+ trials made' "$cofferdam" --host "$place/broken.yaml" selftest
[ -z "$(ls "$place/tmp")" ] && pass "the next selftest removes what a killed one left" || fail "a killed selftest's folder stays" "$(ls -R "$place/tmp")"
expect_status "and says why" 1 'programs. folder /nonexistent' "$cofferdam" --host "$place/broken.yaml" selftest
expect_status "selftest into a full device" 125 "$lost" full selftest
finish
