#!/bin/bash
# The log when everything is killed at once, the auditor included, at random moments; on a full disk; with its folder
# removed. What was acknowledged is in the log, signed; what a log is called is what its bytes can carry; the host's log
# says that the run died.
. "$(dirname "$0")/lib.sh"
if ! [ -w /dev/kvm ]; then
	skip "no usable /dev/kvm"
	finish
	exit
fi
key=$(cf audit keygen)
verdict() { cf audit verify --pubkey "$key" --host-log "$place/log/host.jsonl" "$1" | sed 's/^[^:]*: \([a-z-]*\):.*/\1/'; }
cf_small() { timeout -k 5 60 "$cofferdam" --host "$place/small.yaml" "$@"; }
gone() { local p; for p in "$@"; do [ -d "/proc/$p" ] && ! grep -q '^State:.*Z' "/proc/$p/status" && return 1; done; return 0; }
signed_twice() { [ "$(cat "$place"/log/all-*.jsonl 2>/dev/null | grep -c '"event_code":"checkpoint"')" -ge 2 ]; }
random_wait() { read -r -t "0.$(printf '%03d' $((RANDOM % $1)))" -u "$idle" _ || true; }

echo "- kill -9 of everything at once"
rounds=25
[ "${ROUNDS:-some}" = full ] && rounds=500
policy all 'cmdline: list end=button' >/dev/null
declare -A verdicts=()
for round in $(seq "$rounds"); do
	: >"$place/all.out"
	"$cofferdam" --host "$place/host.yaml" run "$place/all.yaml" >"$place/all.out" 2>&1 </dev/null &
	launcher=$!
	if [ $((round % 5)) = 0 ]; then # later than its first words: all of these are signed by then
		wait_for 10 signed_twice
	else
		random_wait 60
	fi
	# shellcheck disable=SC2207
	pids=($launcher $(children $launcher))
	kill -9 "${pids[@]}" 2>/dev/null
	wait $launcher 2>/dev/null
	wait_for 10 gone "${pids[@]}" || fail "round $round: not all are gone"
	ran=$(grep -c 'power button' "$place/all.out")
	cf audit settle || { fail "round $round: the host's log takes nothing more"; break; }
	for log in "$place"/log/all-*.jsonl; do
		[ -e "$log" ] || continue
		found=$(verdict "$log")
		verdicts[$found]=$((${verdicts[$found]:-0} + 1))
		other=$("$top/docs/verify.py" "$log" | sed 's/.*: //')
		case $found in
		unsealed | unsigned-tail | torn | sealed | empty) ;;
		unknown-key) # killed before the host's log knew of it: then the guest had been running for a moment at most
			case $other in unsealed | unsigned-tail | torn | self-signed) ;; *) fail "round $round: $found, by docs/verify.py $other" "$(cat "$log")" ;; esac ;;
		*) fail "round $round: $found" "$(cat "$log")" ;;
		esac
		[ "$found" = "$other" ] || [ "$found" = unknown-key ] || [ "$found$other" = sealedself-signed ] ||
			fail "round $round: $found, but $other by docs/verify.py"
		signed=$(cf audit verify --json "$log" | sed 's/.*"signed_to":\([0-9]*\).*/\1/')
		if [ "$ran" -ge 1 ] && ! grep -q '"event_code":"vm_starting"' <(head -n "$signed" "$log"); then
			fail "round $round: the guest ran, and its start is not in what is signed" "$(cf audit show "$log")"
		fi
		run=$(sed -n '1s/.*"run":"\([0-9a-f]*\)".*/\1/p' "$log")
		if [ -n "$run" ] && grep -q "\"event_code\":\"run_started\".*\"run\":\"$run\"" "$place/log/host.jsonl"; then
			grep -qE "\"event_code\":\"run_(un)?sealed\".*\"run\":\"$run\"" "$place/log/host.jsonl" || fail "round $round: the host's log does not say how the run ended"
		fi
		rm "$log"
	done
done
tally=$(for found in "${!verdicts[@]}"; do printf '%s %s, ' "$found" "${verdicts[$found]}"; done)
[ "${verdicts[unsealed]:-0}" -ge 1 ] && pass "unsealed logs were among them" || fail "no log was unsealed: nothing was killed in time" "$tally"
echo "  $rounds rounds: ${tally%, }"
expect_status "the host's log is whole after all that" 11 'unsealed' cf audit verify --pubkey "$key" "$place/log/host.jsonl"
expect_status "by docs/verify.py, too" 11 'unsealed' "$top/docs/verify.py" --pubkey "$key" "$place/log/host.jsonl"
wait_for 10 cf ps >/dev/null
expect_clean "nothing is left" all

echo "- no room, no folder"
if [ "$(id -u)" = 0 ] && mkdir "$place/small" && mount -t tmpfs -o size=24k,mode=755 small "$place/small" 2>/dev/null; then
	trap 'umount -l "$place/small" 2>/dev/null; for job in $(jobs -p); do kill -9 "$job"; done 2>/dev/null; rm -rf "$place"' EXIT
	sed "s|$place/log|$place/small|" "$place/host.yaml" >"$place/small.yaml"
	chmod go-w "$place/small.yaml"
	head -c 20480 /dev/zero >"$place/small/filler"
	expect_status "a full disk: nothing starts" 125 'No space left|cannot write|log' cf_small run "$place/all.yaml"
	umount "$place/small"
else
	skip "a full disk: needs root and a mount"
fi
policy gone 'cmdline: list end=button' >/dev/null
"$cofferdam" --host "$place/host.yaml" run "$place/gone.yaml" >"$place/gone.out" 2>&1 </dev/null &
launcher=$!
wait_for 20 grep -q 'power button' "$place/gone.out" || fail "gone does not start" "$(cat "$place/gone.out")"
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
expect_status "and its log is sealed where it is" 0 'sealed' cf audit verify --pubkey "$(log_key "$place"/log.away/gone-*.jsonl)" "$place"/log.away/gone-*.jsonl
finish
