#!/bin/bash
# Bash's completion, by its own functions: commands, options, subcommands, names of running VMs, files.
. "$(dirname "$0")/lib.sh"
COMP_WORDBREAKS=${COMP_WORDBREAKS//:/}
# shellcheck source=docs/cofferdam.bash
. "$top/docs/cofferdam.bash"

# offered WORD...: what the completion offers for the last word, on one line
offered() {
	COMP_WORDS=("$cofferdam" "$@")
	COMP_CWORD=$#
	_cofferdam
	sort <<<"$(printf '%s\n' "${COMPREPLY[@]}")" | tr '\n' ' '
}
expect() { # NAME WANTED WORD...
	local name=$1 wanted=$2 got
	shift 2
	got=$(offered "$@")
	if [ "$got" = "$wanted " ]; then pass "$name"; else fail "$name" "'$got', not '$wanted '"; fi
}

echo "- words"
for command in $("$cofferdam" --help | sed -n 's/^  \([a-z]\+\)  .*/\1/p'); do
	case " $(offered '') " in *" $command "*) pass "$command is offered" ;; *) fail "$command is not offered" "$(offered '')" ;; esac
	for option in $("$cofferdam" "$command" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u); do
		case " $(offered "$command" "--") " in *" $option "*) ;; *) fail "$command $option is not offered" "$(offered "$command" --)" ;; esac
	done
done
expect "the beginning of a command" 'pause plan policy ps' p
expect "the same after --host" 'pause plan policy ps' --host /dev/null p
expect "the same after --host=" 'pause plan policy ps' --host = /dev/null p
expect "options before a command" '--help --host --version' -
expect "an option of a command" '--detach' run --d
expect "a subcommand" 'verify' audit ver
expect "the one of policy" 'reset-version' policy ''
expect "a host file is a file" '' --host ''
expect "the same with =" '' --host = ''
expect "a policy is a file" '' run ''
expect "nothing of an unknown command" '' nonesuch ''

if ! [ -w /dev/kvm ]; then
	skip "names: no usable /dev/kvm"
	finish
	exit
fi
echo "- names"
for name in web-1 web-2 other; do
	policy $name 'cmdline: list end=button' >/dev/null
	cf run --detach "$place/$name.yaml" </dev/null || fail "$name does not start"
done
expect "all" 'other web-1 web-2' --host "$place/host.yaml" stop ''
expect "by their beginning" 'web-1 web-2' --host "$place/host.yaml" inspect we
expect "after an option" 'other' --host "$place/host.yaml" logs --audit o
expect "one name only" '' --host "$place/host.yaml" stop web-1 ''
expect "not for a policy" '' --host "$place/host.yaml" run we
if grep -q control_ "$place"/log/web-1-*.jsonl; then fail "completion asks the VM"; else pass "no VM is asked"; fi
for name in web-1 web-2 other; do cf kill $name; done
expect "gone" '' --host "$place/host.yaml" stop ''
finish
