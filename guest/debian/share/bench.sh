#!/bin/bash
# What fio, iperf3 and ping get through this machine's disk `data` and its network, for tests/bench/linux.py: what each says goes to
# the console between two lines of ours, once it has worked. Kernel command line:
#
#   bench.seconds=N   how long each of them works
#
# The host's servers of iperf3 take one client each, at 10.7.0.1. Needs what make-guest --tools adds.
set -euo pipefail
shopt -s nullglob

cd /tmp
seconds=
for word in $(</proc/cmdline); do
	case $word in bench.seconds=*) seconds=${word#*=} ;; esac
done

row() { # NAME COMMAND...
	local status=0
	echo "bench: $1 begins"
	"${@:2}" >out 2>errors || status=$?
	echo "bench: $1 worked"
	if ((status == 0)); then
		cat out
		echo "bench: $1 ends"
	else
		echo "bench: $1 failed: $(tail -n 3 out errors | tr -s '\n' ' ')"
	fi
}

for path in /sys/block/vd*; do # which of them is vda differs between monitors
	serial=
	read -r serial <"$path/serial" || true
	[[ $serial != data ]] || data=/dev/${path##*/}
done
disk() { # NAME PATTERN SIZE DEPTH
	row "$1" fio --name="$1" --filename="${data-no-disk}" --thread --direct=1 --ioengine=libaio --rw="$2" --bs="$3" --iodepth="$4" \
		--time_based --runtime="$seconds" --output-format=json
}

offloaded() { # a card without checksums and segments left to the host, both ways, would be another measurement
	local bits path
	for path in /sys/bus/virtio/drivers/virtio_net/virtio*; do
		read -r bits <"$path/features"
		[[ ${bits:0:2}${bits:7:1}${bits:11:1} == 1111 ]] || { echo "offload is lacking: $bits" && return 1; }
	done
}
interface() {
	offloaded && busybox ip addr add 10.7.0.7/24 dev eth0 && busybox ip link set eth0 up
}
stream() { # NAME PORT OPTION...
	row "$1" iperf3 --client 10.7.0.1 --port "$2" --time "$seconds" --interval 0 --json "${@:3}"
}

disk read-128k read 128k 4
disk write-128k write 128k 4
disk random-1 randread 4k 1
disk random-32 randread 4k 32
row interface interface
stream send 5201
stream receive 5202 --reverse
row answers ping -A -q -w "$seconds" 10.7.0.1
echo 'bench: over'
