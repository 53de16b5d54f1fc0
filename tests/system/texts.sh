#!/bin/bash
# What is read before anything runs: README, manual page, help, and an installation. They say the same as the programs.
. "$(dirname "$0")/lib.sh"
cd "$top" || exit 1

echo "- README"
if diff <(awk '/^```$/ { inside = 0 } inside; /^```yaml$/ { inside = !seen++ }' README.md) examples/hello.yaml >"$place/diff"; then pass "the first policy is examples/hello.yaml"; else
	fail "README's first policy is not examples/hello.yaml" "$(cat "$place/diff")"
fi
cp examples/hello.yaml "$place/hello.yaml"
expect_status "it has no mistake" 0 'no mistakes' cf check "$place/hello.yaml"
for text in 'git clone' 'apt-get install -y git ca-certificates' 'systemd-run --user --scope -p Delegate=yes' '--add-subuids'; do
	grep -qF -- "$text" README.md && pass "README has '$text'" || fail "README lacks '$text'"
done
requirements=$(sed -n '/^## Requirements/,$p' README.md)
for word in git ca-certificates make libc6 uidmap passt minisign memory disk pids v1 v2; do
	grep -qE "(^|[^[:alnum:]-])$word([^[:alnum:]-]|\$)" <<<"$requirements" && pass "Requirements name $word" || fail "README's Requirements lack $word"
done
# Each block of YAML in a text is a policy, a host file, or keys of a policy. None is out of date.
awk -v folder="$place" '/^```$/ { inside = 0 } inside { print >(folder "/block" count ".yaml") } /^```yaml$/ { inside = ++count }' README.md docs/devices.md
chmod go-w "$place"/block*.yaml
blocks=0
for block in "$place"/block*.yaml; do
	blocks=$((blocks + 1))
	if grep -q '^ceilings:' "$block"; then
		expect_status "a host file of the texts" 0 'no mistakes' "$cofferdam" --host "$block" check "$place/hello.yaml"
		lacks=$(grep -vxFf examples/host.yaml <(sed 's/ *#.*//' "$block") | grep -vxFf <(sed 's/ *#.*//' examples/host.yaml))
		[ -z "$lacks" ] && pass "which examples/host.yaml has as well" || fail "examples/host.yaml lacks lines of README's host file" "$lacks"
		continue
	fi
	grep -q '^cofferdam:' "$block" || sed -i '1i cofferdam: 1\nname: a\nkernel: builtin' "$block"
	expect_status "$(sed -n '/^[^#]/{p;q}' "$block")" 0 'no mistakes' cf check "$block"
done
[ "$blocks" -ge 5 ] && pass "$blocks blocks of YAML" || fail "only $blocks blocks of YAML are found"
for text in SECURITY.md docs/*.md; do
	grep -q '^```yaml$' "$text" && [ "$text" != docs/devices.md ] && fail "$text has YAML that is not looked at here"
done
missing=$(grep -oE '`[a-z]+[a-z/_-]*\.(md|yaml|py|1|sh|c)`' README.md | tr -d '`' | sort -u | while read -r name; do
	[ -e "$name" ] || [ -e "docs/$name" ] || [ -e "examples/$name" ] || echo "$name"
done)
[ -z "$missing" ] && pass "each file that README names is there" || fail "README names what is not there" "$missing"
# SECURITY.md names a test for each claim. (Words in capitals stand for another: fuzz/corpus/TARGET.)
named=$(grep -ohE '\b(tests|fuzz)/[[:alnum:]_./-]*[[:alnum:]]' README.md SECURITY.md docs/*.md | sed 's,/[^/]*[[:upper:]]\{2\}.*,,' | sort -u)
missing=$(for name in $named; do [ -e "$name" ] || echo "$name"; done)
if [ "$(wc -w <<<"$named")" -lt 90 ]; then
	fail "fewer tests than there are were found in the texts" "$named"
elif [ -n "$missing" ]; then
	fail "the texts name tests that are not there" "$missing"
else
	pass "each test that the texts name is there"
fi

echo "- docs/verify.py"
[ "$(wc -l <docs/verify.py)" -le 150 ] && pass "150 lines, as docs/compliance.md says" || fail "docs/verify.py has $(wc -l <docs/verify.py) lines"
: >"$place/empty.jsonl"
expect_status "it needs no package, no environment" 40 'empty' python3 -I -S docs/verify.py "$place/empty.jsonl"

echo "- manual page"
plain_of() { sed 's/\\f[A-Z]//g; s/\\-/-/g; s/\\//g' "$1"; }
main=$(plain_of docs/cofferdam.1)
plain=$main
grep -qE '^\.TH COFFERDAM 1 "20[0-9]{2}-[01][0-9]-[0-3][0-9]" "cofferdam [0-9.]+"' docs/cofferdam.1 && pass "date and version" || fail "no date or version in .TH"
[ "cofferdam $(sed -n 's/^\.TH.*"cofferdam \([0-9.]*\)".*/\1/p' docs/cofferdam.1)" = "$("$cofferdam" --version)" ] && pass "the version is the program's" || fail "the manual page is of another version"
has() { grep -qE -- "$1" <<<"$plain"; }
# An option of a command's, as a whole word: --hold is not in --holder, nor --host in --host-log.
has_option() { has "^$1(.*[^[:alnum:]-])?$2([^[:alnum:]-]|\$)"; } # START-OF-LINE OPTION
# What a page says of a command's exit statuses: what is said of all, and what stands below a heading with the command.
statuses_of() {
	awk -v command="$1" '/^\.SH / { inside = on = /EXIT STATUS/ }
		/^\.SS / && inside { on = 0; for (i = split($0, words, /[ ,]+/); i > 1; i--) on = on || words[i] == command }
		on' <<<"$plain"
}
"$cofferdam" --help >"$place/help"
commands=$(sed -n 's/^  \([a-z]\+\)  .*/\1/p' "$place/help")
[ "$(wc -w <<<"$commands")" -ge 9 ] || fail "cannot read the commands from --help" "$(cat "$place/help")"
for command in $commands; do
	plain=$main
	has "^\\.BI \"$command " && pass "$command" || fail "the manual page lacks the command $command"
	if [ -e "docs/cofferdam-$command.1" ]; then # it has a page of its own
		plain=$(plain_of "docs/cofferdam-$command.1")
	fi
	for option in $(cf "$command" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u); do
		[ "$option" = --help ] || has_option "\\.BI \"$command " "$option" || fail "the manual page lacks $command $option"
	done
	section=$(statuses_of "$command")
	for status in $(cf "$command" --help | sed -n '/^Exit status/,$p' | grep -oE '\b[0-9]{1,3}\b' | sort -u); do
		grep -qE "\\b$status\\b" <<<"$section" || fail "the manual page lacks $command's exit status $status"
		[ "$plain" != "$main" ] || grep -qE "^\.SS (.*[ ,])?$command([ ,]|\$)" <<<"$section" || fail "the manual page has no exit statuses of $command"
	done
done
plain=$main
for status in $(cf run --help | sed -n '/^Exit status/,/^Every/p' | grep -oE '\b[0-9]{1,3}\b'); do
	grep -qE "^\| [^|]*\b$status\b" README.md && pass "README's table has $status" || fail "README's table lacks exit status $status"
done
section=$(awk '/^\.BI "set / { on = 1; next } /^\.TP/ { on = 0 } on' <<<"$plain")
for key in $(cf set --help | grep -oE '\b(limits|machine|entropy|vsock)\.[a-z_.]+' | sed 's/\.$//' | sort -u); do
	grep -qE "(^|[ (])$key([ ,;:.)]|\$)" <<<"$section" && pass "set $key" || fail "the manual page lacks set's $key" "$section"
done
for option in $(grep -oE -- '--[a-z][a-z-]+' "$place/help" | sort -u); do
	has_option '\.B[IR]? ' "$option" && pass "$option" || fail "the manual page lacks $option"
done

echo "- installation"
if make -s install B="$B" DESTDIR="$place/root" PREFIX=/usr >"$place/install" 2>&1; then pass "make install"; else fail "make install" "$(cat "$place/install")"; fi
installed=$place/root/usr/bin/cofferdam
[ -e "$place/root/usr/bin/cofferdam-supervisor" ] && fail "the jailed programs are in bin" || pass "the jailed programs are elsewhere"
chmod 755 "$place"
expect_status "it finds its programs in libexec" 0 'programs +all there' "$installed" --host "$place/host.yaml" plan "$place/hello.yaml"
if [ -w /dev/kvm ]; then
	expect_status "it runs" 0 'all well' "$installed" --host "$place/host.yaml" run "$place/hello.yaml"
else
	skip "running it: no usable /dev/kvm"
fi
rm "$place/root/usr/libexec/cofferdam/cofferdam-device"
expect_status "without one of them it says which" 125 'cannot open the program cofferdam-device.*installed as a whole' "$installed" --host "$place/host.yaml" run "$place/hello.yaml"
expect_status "and plan says the same" 125 'REFUSED: cannot open the program cofferdam-device' "$installed" --host "$place/host.yaml" plan "$place/hello.yaml"
for page in cofferdam cofferdam-audit; do
	cmp -s "$place/root/usr/share/man/man1/$page.1" "docs/$page.1" && pass "the manual page $page is installed" || fail "no manual page $page" "$(ls -R "$place/root")"
	wrong=$(groff -man -Tutf8 -ww "docs/$page.1" 2>&1 >/dev/null || true)
	[ -z "$wrong" ] && pass "$page has no mistake in its markup" || fail "$page" "$wrong"
done
for text in README.md SECURITY.md LICENSE docs/{caps,compliance,devices,performance}.md docs/verify.py examples/*.yaml; do
	copy=$place/root/usr/share/doc/cofferdam/${text#docs/}
	cmp -s "$copy" "$text" && pass "$text is installed" || fail "no $text" "$(ls -R "$place/root")"
done
cmp -s "$place/root/usr/share/bash-completion/completions/cofferdam" docs/cofferdam.bash && pass "the completion is installed" || fail "no completion"
mkdir -p "$place/root/var/log/cofferdam" && : >"$place/root/var/log/cofferdam/host.jsonl"
if make -s uninstall DESTDIR="$place/root" PREFIX=/usr >"$place/install" 2>&1; then pass "make uninstall"; else fail "make uninstall" "$(cat "$place/install")"; fi
left=$(find "$place/root" -type f)
[ "$left" = "$place/root/var/log/cofferdam/host.jsonl" ] && pass "removes what was installed, and nothing else" || fail "make uninstall leaves other files" "$left"
finish
