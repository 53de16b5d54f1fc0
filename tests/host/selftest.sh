#!/bin/bash
# What the nested host promises its callers (see run). Prints a line for each promise; fails with the first one broken.
# Trusts nothing but `run`; writes below $B only.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
B=$(realpath -m "${B:-$here/../../build}")
export B
mkdir -p "$B"
work=$(mktemp -d "$B/host-selftest.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"

promise() { # NAME COMMAND...
	if "${@:2}"; then echo "ok: $1"; else echo "FAILED: $1" && exit 1; fi
}
is() { [[ $1 == "$2" ]] || { echo "is '$1', not '$2'" >&2 && return 1; }; }
host() { status=0; "$here/run" "$@" >out 2>err || status=$?; }

# Perl is in every Debian; the numbers are KVM_GET_API_VERSION and FS_IOC_ENABLE_VERITY (struct fsverity_enable_arg).
cat >probe <<'END'
echo "id $(id -u):$(id -g) $(id -Gn)"
echo "home $HOME $( : >"$HOME/written" && echo writable)"
echo "directory $PWD"
echo "kvm $(perl -e 'open K, "+<", "/dev/kvm" or die "$!"; print ioctl(K, 0xae00, 0)')"
echo "controllers $(tr ' ' '\n' </sys/fs/cgroup/cgroup.controllers | grep -cxE 'cpu|memory|io|pids|cpuset')"
echo "children $(tr ' ' '\n' </sys/fs/cgroup/cgroup.subtree_control | grep -cxE 'cpu|memory|io|pids|cpuset')"
echo something >/mnt/scratch/file.$$
echo "verity $(perl -e 'open F, "<", $ARGV[0] or die; $a = pack("LLLLQLLQx88", 1, 1, 4096, 0, 0, 0, 0, 0);
	print ioctl(F, 0x40806685, $a) ? "enabled" : $!' /mnt/scratch/file.$$)"
echo "verified $( (echo more >>/mnt/scratch/file.$$) 2>/dev/null && echo writable || echo sealed)"
echo "loopback $(cat /sys/class/net/lo/operstate)"
echo "modules $(grep -cE '^(loop|dm_mod|tun|kvm_amd) ' /proc/modules)"
echo "namespaces $(unshare --user --map-root-user --mount --pid --fork --net id -u)"
echo "subuid $(grep cofferdam-test /etc/subuid /etc/subgid | tr '\n' ' ')"
echo "tick $(grep -c "^Tick Device: mode: *0\$" /proc/timer_list 2>/dev/null)"
echo "input $(wc -c)"
END
line() { sed -n "s/^$1 //p" out; }

host bash probe
cat out err
promise "success is 0" is "$status" 0
promise "root is root" is "$(line id | cut -d' ' -f1)" 0:0
promise "the directory is the caller's" is "$(line directory)" "$work"
promise "root opens /dev/kvm, which answers" is "$(line kvm)" 12
promise "cgroup v2 has the controllers" is "$(line controllers) $(line children)" "5 5"
promise "fs-verity works on the scratch disk" is "$(line verity) $(line verified)" "enabled sealed"
promise "modules are there" is "$(line modules)" 4
promise "namespaces are there" is "$(line namespaces)" 0
promise "the clock ticks by itself" is "$(line tick)" 2
promise "input is empty" is "$(line input)" 0

host --user bash probe
cat out err
promise "an ordinary user is one" is "$(line id)" "1000:1000 cofferdam-test cofferdam-kvm"
promise "the user has a home" is "$(line home)" "/home/cofferdam-test writable"
promise "the user opens /dev/kvm, which answers" is "$(line kvm)" 12
promise "the user writes the scratch disk" is "$(line verity)" enabled
promise "the user has namespaces" is "$(line namespaces)" 0
promise "the user has ids to map" is "$(line subuid)" \
	"/etc/subuid:cofferdam-test:100000:65536 /etc/subgid:cofferdam-test:100000:65536 "

# Exactness: arguments, environment, both outputs (binary, larger than any pipe), the status
printf 'from the machine\n' >seen
# shellcheck disable=SC2016  # for the shell inside
VARIABLE=$'two\nlines' host --share "$work" bash -c '
	printf "%s|" "$@" "$VARIABLE" >&2
	cat seen >&2
	head -c 3000000 /dev/zero
	echo overwritten >seen
	echo leaked >/usr/leak-of-cofferdam-test
	exit 7' name $'a "b"\n$c' '' 'd\e'
promise "a status passes" is "$status" 7
promise "arguments, environment and files pass" is "$(<err)" $'a "b"\n$c||d\\e|two\nlines|from the machine'
promise "output passes whole" cmp <(head -c 3000000 /dev/zero) out
promise "a shared directory is written" is "$(<seen)" overwritten
promise "nothing else is written" test ! -e /usr/leak-of-cofferdam-test

# shellcheck disable=SC2016
host bash -c 'echo kept >seen; kill -SEGV $$'
promise "a signal passes" is "$status" 139
promise "without --share nothing is written" is "$(<seen)" overwritten

host --timeout 9 --console console sleep 1000
promise "the time-out is reported" is "$status" 124
promise "with the console's end" grep -q 'timed out after 9 s' err
promise "and the console's file" test -s console

# The machine dies with its caller, however that ends.
exec 7< <(exec "$here/run" bash -c 'echo up; exec sleep 1000')
caller=$!
read -r -t 300 -u 7 line || true
promise "output appears as it is written" is "$line" up
machine=$(pgrep -P "$(pgrep -P $caller -x timeout)")
promise "a machine runs" grep -q ^qemu "/proc/$machine/comm"
kill -KILL $caller
promise "it ends with its caller" timeout 10 tail --pid="$machine" -f /dev/null
echo "all promises of the nested host hold"
