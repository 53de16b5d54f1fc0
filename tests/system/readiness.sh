#!/bin/bash
# What stands between an ordinary user and a VM: `doctor` and `plan` say what `run` says, with what to do, and change
# nothing. Root makes each lack in a mount namespace of its own.
. "$(dirname "$0")/lib.sh"
policy good >/dev/null
expect_status "plan where all is there" 0 '^  control group ' cf plan "$place/good.yaml"
expect_status "doctor where all is there" 0 'good +jail' cf doctor
if [ -e "$place/run" ] || [ -e "$place/log" ]; then fail "plan or doctor made a folder" "$(ls "$place")"; else pass "neither makes a folder"; fi
head -c 4096 /dev/zero >"$place/kernel"
same_refusal() { # NAME PATTERN: of policy NAME
	expect_status "run: $1" 125 "$2" cf run "$place/$1.yaml"
	expect_status "plan: $1" 125 "REFUSED: .*$2" cf plan "$place/$1.yaml"
}
policy pinned "kernel: {path: kernel, sha256: $(printf '0%.0s' {1..64})}" >/dev/null
same_refusal pinned 'kernel is not the file the policy pins by sha256'
truncate -s 65M "$place/large"
policy large 'kernel: {path: large}' >/dev/null
same_refusal large 'larger'
policy vast 'machine: {vcpus: 1, memory: 512GiB}' >/dev/null
same_refusal vast 'machine.memory is 524288 MiB, but this host has'
mkdir "$place/file"
: >"$place/file/run"
printf 'cofferdam: 1\nfolders: {runtime: "%s/file/run/x", audit: "%s/log"}\n' "$place" "$place" >"$place/odd.yaml"
expect_status "a folder below a file" 125 'runtime folder +REFUSED: cannot make the folder .*Not a directory' "$cofferdam" --host "$place/odd.yaml" plan "$place/good.yaml"

user=4321
if ! [ "$(id -u)" = 0 ] || ! unshare -m mount -t tmpfs test /mnt 2>/dev/null; then
	skip "an ordinary user: needs root and a mount namespace"
	finish
	exit
fi
install -d -o "$user" "$place/theirs"
printf 'cofferdam: 1\nfolders: {runtime: "%s/theirs", audit: "%s/log"}\n' "$place" "$place" >"$place/odd.yaml"
expect_status "a folder of somebody else's" 125 "runtime folder +REFUSED: the folder $place/theirs belongs to user $user" "$cofferdam" --host "$place/odd.yaml" plan "$place/good.yaml"
# What doctor finds besides, on a host that has what is named, and on one that has not.
other_host() { # FILES COMMAND...: with those of FILES, a folder, for the kernel's
	# shellcheck disable=SC2016  # for the shell inside
	unshare -m bash -c '
		for name in "$1"/*; do
			file=${name##*/}
			file=/${file//+/\/}
			[ ! -e "$file" ] || mount --bind "$name" "$file" || exit
		done
		shift && exec "$@"' other "$@"
}
mkdir "$place/one" "$place/two"
swaps=$'Filename\tType\tSize\tUsed\tPriority'
echo "flags : fpu svm" >"$place/one/proc+cpuinfo"
echo "flags : fpu svml vmxx" >"$place/two/proc+cpuinfo"
echo "$swaps" >"$place/one/proc+swaps"
printf '%s\n/a\n/b\n' "$swaps" >"$place/two/proc+swaps"
for finding in 'one good +virtualisation +AMD SVM' 'two note +virtualisation +neither svm nor vmx' 'one good +swap +none' 'two note +swap +2 areas .*swapoff'; do
	expect_status "doctor: ${finding#* }" 0 "^${finding#* }" other_host "$place/${finding%% *}" "$cofferdam" doctor
done
for name in sys+kernel+mm+ksm+run:0:1:ksm:off:on sys+devices+system+cpu+smt+control:off:on:smt:off:on; do
	IFS=: read -r file one two check good note <<<"$name"
	[ -e "/${file//+//}" ] || { skip "doctor: $check: no /${file//+//} here"; continue; }
	echo "$one" >"$place/one/$file" && echo "$two" >"$place/two/$file"
	expect_status "doctor: $check $good" 0 "^good +$check +$good " other_host "$place/one" "$cofferdam" doctor
	expect_status "doctor: $check $note" 0 "^note +$check +$note " other_host "$place/two" "$cofferdam" doctor
done
for finding in 2:good:random 1:note:'random in part' 0:note:'the same in every process'; do
	IFS=: read -r value verdict text <<<"$finding"
	echo "$value" >"$place/one/proc+sys+kernel+randomize_va_space"
	expect_status "doctor: addresses, $value" 0 "^$verdict +addresses +$text  +who" other_host "$place/one" "$cofferdam" doctor
done
# Ids of a user's that VMs of root's would have as well, at either end; what touches them, or is root's, is no hindrance.
given() { # FILE LINE COMMAND...: on a host whose FILE has that line
	rm -rf "$place/given" && mkdir "$place/given" && echo "$2" >"$place/given/etc+$1"
	other_host "$place/given" "$cofferdam" --host "$place/host.yaml" "${@:3}"
}
for line in subuid:somebody:1879113727:65536 subgid:4321:1879000000:50000 subuid:somebody:1000000000:4000000000; do
	file=${line%%:*} said="/etc/${line%%:*} gives .* ids that VMs of root's run as, 1879048192 to 1879113727"
	[ -e "/etc/$file" ] || { skip "$line: no /etc/$file here"; continue; }
	expect_status "run: $line" 125 "$said" given "$file" "${line#*:}" run "$place/good.yaml"
	expect_status "plan: $line" 125 "REFUSED: $said" given "$file" "${line#*:}" plan "$place/good.yaml"
	expect_status "doctor: $line" 1 "bad +jail .*$said" given "$file" "${line#*:}" doctor
done
for line in subuid:somebody:1879113728:65536 subgid:somebody:1878982656:65536 subuid:root:1879048192:65536 subuid:0:1879048192:65536; do
	expect_status "doctor: $line" 0 'good +jail +ids 1879048192 to 1879113727' given "${line%%:*}" "${line#*:}" doctor
done
abi=$(perl -e 'print syscall(444, 0, 0, 1)') # landlock_create_ruleset: the version
expect_status "doctor: landlock" 0 "^good +landlock +ABI $abi " cf doctor
expect_status "doctor: the rest" 0 '^(good|note) +(mdwe|tsc-deadline) ' cf doctor

chmod 755 "$place" && cp "$place/good.yaml" "$place/user.yaml" && chown $user "$place/user.yaml"
mkdir "$place/home" && chown $user "$place/home"
echo "$user:100000:65536" >"$place/subids"
: >"$place/nobody"
{ cat /etc/passwd; echo "cofferdam-user:x:$user:$user::$place/home:/bin/sh"; } >"$place/passwd"
cat >"$place/as-user" <<'SCRIPT'
# LACKS COMMAND...: as an ordinary user who has /dev/kvm, ids and a folder of his own in /run/user, but for what is named.
lacks=$1 place=${0%/*}
shift
set -e
mount --make-rprivate /
"$top/tests/system/reachable"
mount -t tmpfs -o mode=755 dev /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/kvm c 10 232
mkdir /dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts
ln -s pts/ptmx /dev/ptmx
[[ $lacks == *kvm* ]] && chmod 600 /dev/kvm
subids=$place/subids
[[ $lacks == *subids* ]] && subids=$place/nobody
mount --bind "$place/passwd" /etc/passwd
mount --bind "$subids" /etc/subuid
mount --bind "$subids" /etc/subgid
[[ $lacks == *newuidmap* ]] && mount --bind "$place/nobody" /usr/bin/newuidmap
mkdir -p /run/user
mount -t tmpfs -o mode=755 user /run/user
[[ $lacks == *folder* ]] || install -d -m 700 -o 4321 -g 4321 /run/user/4321
exec setpriv --reuid=4321 --regid=4321 --clear-groups env -u XDG_RUNTIME_DIR -u XDG_STATE_HOME HOME="$place/home" "$@"
SCRIPT
export top
as_user() { unshare -m bash "$place/as-user" "$@"; }

# The first lack that `run` meets is word for word among doctor's and plan's.
same_words() { # NAME LACKS PATTERN [POLICY]
	local name=$1 policy=$place/${4:-user.yaml} said doctor plan
	said=$(as_user "$2" "$cofferdam" run "$policy" 2>&1 >/dev/null </dev/null | tail -1)
	if ! grep -qE -- "$3" <<<"$said"; then fail "$name: run does not say '$3'" "$said"; return; fi
	said=${said#cofferdam: }
	doctor=$(as_user "$2" "$cofferdam" doctor 2>&1 </dev/null)
	plan=$(as_user "$2" "$cofferdam" plan "$policy" 2>&1 </dev/null)
	grep -qF -- "$said" <<<"$doctor" || fail "$name: doctor does not say '$said'" "$doctor"
	grep -qF -- "REFUSED: $said" <<<"$plan" || fail "$name: plan does not say '$said'" "$plan"
	expect_status "$name" 1 bad as_user "$2" "$cofferdam" doctor
	expect_status "$name, run" 125 "$3" as_user "$2" "$cofferdam" run "$policy"
	expect_status "$name, plan" 125 'would refuse' as_user "$2" "$cofferdam" plan "$policy"
}
same_words "no folder in /run/user" folder 'cannot make the folder /run/user/4321/cofferdam: .*XDG_RUNTIME_DIR'
same_words "no line in /etc/subuid" subids 'no range for you.*usermod --add-subuids'
same_words "no delegated cgroup" '' 'systemd-run --user --scope -p Delegate=yes'
# Whether there is a control group or not, so that /dev/kvm is what lacks first.
{ grep -v '^jail:' "$place/user.yaml"; echo 'jail: {no_cgroup: allow}'; } >"$place/groupless.yaml"
chown $user "$place/groupless.yaml"
same_words "no permission for /dev/kvm" kvm 'no permission for /dev/kvm: join the group that owns it .usually kvm. or run as root$' groupless.yaml
expect_status "doctor knows of a lacking newuidmap" 1 'cannot run /usr/bin/newuidmap.*uidmap on Debian' as_user newuidmap "$cofferdam" doctor
expect_status "doctor knows of a /dev/kvm for others" 1 'no permission for /dev/kvm' as_user kvm "$cofferdam" doctor
expect_status "doctor finds the rest in order" 1 'good +jail +ids 100000 to 165535' as_user '' "$cofferdam" doctor

# With a delegated group, all of it: the user's VM runs.
groups=/sys/fs/cgroup
if [ -w $groups/cgroup.subtree_control ] && grep -qw memory $groups/cgroup.controllers; then
	group=$groups/test-$$
	mkdir -p "$group/session"
	echo '+memory +pids +cpu' >"$group/cgroup.subtree_control"
	chown $user "$group" "$group"/cgroup.{procs,subtree_control,threads} "$group/session" "$group"/session/cgroup.procs
	delegated() { bash -c 'echo $$ >"$1/session/cgroup.procs" && shift && exec unshare -m bash "$@"' delegated "$group" "$place/as-user" "$@"; }
	expect_status "doctor with a delegated group" 0 'good +control group' delegated '' "$cofferdam" doctor
	expect_status "plan with a delegated group" 0 'memory: v2' delegated '' "$cofferdam" plan "$place/user.yaml"
	expect_status "run with a delegated group" 0 'all well' delegated '' "$cofferdam" run "$place/user.yaml"
	expect_status "selftest with a delegated group" 0 'attempts to get out of [0-9]+ jails, 0 not refused' delegated '' "$cofferdam" selftest
	expect_status "newuidmap lacks, run" 125 'cannot run /usr/bin/newuidmap' delegated newuidmap "$cofferdam" run "$place/user.yaml"
	rmdir "$group/cofferdam" "$group/session" "$group"
else
	skip "a delegated group: needs cgroup v2 with its controllers"
fi
finish
