#!/bin/bash
# Works this machine's devices with Debian's own tools, checks what comes of it, and ends the machine under load. The
# host's side is tests/system/friendly.py. Kernel command line:
#
#   friendly.seconds=N    how long each load lasts
#   friendly.for=N        rounds begin until so many seconds have passed,
#   friendly.rounds=N     and until there were so many; both 0: none
#   friendly.end=WHAT     poweroff or reboot
#
# Needs what make-guest --tools adds. Trusts nothing of the host but its answers at vsock port 5001.
set -euo pipefail

cd /tmp # stress-ng writes where it runs

option() { # NAME
	local word
	for word in $(</proc/cmdline); do
		if [[ $word == "friendly.$1="* ]]; then echo "${word#*=}"; fi
	done
}
seconds=$(option seconds)
tap=10.7.0.1 tap6=fd00::1 passt=10.9.0.1

step() { # NAME COMMAND...
	local before=$SECONDS
	if "${@:2}" >"/tmp/$1.out" 2>&1; then
		echo "friendly: $1 ($((SECONDS - before)) s)"
	else
		echo "friendly: $1 FAILED"
		tail -n 40 "/tmp/$1.out"
		exit 1
	fi
}

# What the host is to do at this point; returns when it has.
ask() { [[ $(socat -t 600 - VSOCK-CONNECT:2:5001 <<<"$1") == "done" ]]; }

interfaces() {
	local ip=(busybox ip)
	"${ip[@]}" addr add 10.7.0.7/24 dev eth0 && "${ip[@]}" addr add fd00::7/64 dev eth0 &&
		"${ip[@]}" link set eth0 up &&
		"${ip[@]}" addr add 10.8.0.7/24 dev eth1 && "${ip[@]}" link set eth1 up &&
		"${ip[@]}" route add default via 10.8.0.1 dev eth1
}

verify() { # OPTION...: what is written is read back, with its checksums
	fio --filename=/dev/vdb --thread --direct=1 --verify=crc32c --verify_fatal=1 "$@"
}
disk() { # one after another
	verify --name=random --rw=randwrite --ioengine=libaio --bsrange=512-64k --blockalign=512 --iodepth=16 --size=1M --fsync=32 \
		--name=sequential --stonewall --rw=write --ioengine=psync --bs=256k --size=2M --end_fsync=1 \
		--name=mixed --stonewall --rw=randrw --ioengine=libaio --bs=4k --iodepth=32 --size=512k --verify_backlog=64
}

stream() { # ADDRESS PORT OPTION...: a server has one client at a time, and may be busy with the end of the last
	local tries said
	for tries in 1 2 3 4 5; do
		said=$(iperf3 --client "$1" --port "$2" --time "$seconds" "${@:3}" 2>&1) && echo "$said" && return
		[[ $said == *busy* ]] || break
		sleep 1
	done
	echo "iperf3 ${*} after $tries: $said"
	return 1
}
pinged() { ping -n -q -c 5 -i 0.2 -W 10 "$1" | grep ' 0% packet loss'; }
network() { # PORT ADDRESS...
	local address
	for address in "${@:2}"; do
		pinged "$address" && stream "$address" "$1" && stream "$address" "$1" --reverse || return
	done
	stream "$2" "$1" --udp --bitrate 2M --length 1200
}

# Both ends of a connection close by halves: all of it comes back, and then its end.
echoed() { # BYTES
	head -c "$1" /dev/urandom >"/tmp/$1.sent" && socat -t 600 - VSOCK-CONNECT:2:5000 <"/tmp/$1.sent" >"/tmp/$1.back" &&
		cmp "/tmp/$1.sent" "/tmp/$1.back"
}
vsock() {
	local listener good=0
	socat VSOCK-LISTEN:1234,fork EXEC:cat &
	listener=$!
	echoed 300000 && ask call || good=1
	kill "$listener"
	return $good
}

memory() {
	local stressed
	stress-ng --vm 2 --vm-bytes 96M --vm-method all --verify --timeout "$((seconds * 3))" &
	stressed=$!
	ask balloon && wait "$stressed" && ask reported
}

together() {
	local each all=()
	verify --name=busy --rw=randrw --ioengine=libaio --bs=512 --iodepth=32 --size=256k --verify_backlog=16 &
	all+=($!)
	stream $tap 5201 --length 64 &
	all+=($!)
	stream $passt 5202 --length 64 --reverse &
	all+=($!)
	ping -n -q -f -c 100 $tap &
	all+=($!)
	echoed 100000 &
	all+=($!)
	stress-ng --vm 1 --vm-bytes 64M --verify --timeout "$seconds" &
	all+=($!)
	ask balloon &
	all+=($!)
	for each in "${all[@]}"; do wait "$each" || return; done
}

step interfaces interfaces
until=$((SECONDS + $(option for)))
round=0
while ((SECONDS < until || round < $(option rounds))); do
	step disk disk
	step tap network 5201 $tap $tap6
	step passt network 5202 $passt
	step vsock vsock
	step memory memory
	step together together
	round=$((round + 1))
	echo "friendly: round $round"
done

# The end comes while the disk and the memory are at work. Not the networks: this kernel breaks virtio-net's queues while it
# shuts down, and its driver can then spin for ever (docs/devices.md, Ends).
mkfifo /tmp/never
exec 3<>/tmp/never
written() { # requests, without a program that would have to be started
	local words
	read -ra words </sys/block/vdb/stat
	echo "${words[4]}"
}
busybox renice -n -10 $$
from=$(written)
for part in 0 1 2 3; do
	nice -n 19 bash -c "while dd if=/dev/zero of=/dev/vdb bs=512 count=8000 seek=$((part * 8000)) oflag=direct; do :; done" &
done >/dev/null 2>&1
nice -n 19 stress-ng --vm 1 --vm-bytes 64M --timeout 600 >/dev/null 2>&1 &
tries=600
until (($(written) > from + 500)); do
	((tries-- > 0)) || { echo "friendly: the disk has written $(written), and $from before" && exit 1; }
	read -r -t 0.1 -u 3 || true
done
echo "friendly: $(option end) under load"
exec busybox "$(option end)" -f
