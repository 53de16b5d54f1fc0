#!/usr/bin/python3
"""What Debian's own fio, iperf3 and ping get through a guest's devices (guest/debian/share/bench.sh), and the processor time that all
of a VM's processes take for it, the guest's included, as is the start of the program in it: the same Debian guest, kernel and images,
run in turns by cofferdam and by QEMU's microvm, whose devices QEMU itself serves as ours do ours. On this machine's KVM where that
is hardware, else in the nested host (tests/host/run), whose processor is emulated: what is slow there is not what is slow on a real
machine, and both monitors' figures are good for nothing but their ratio.

As a program, which is what runs in the nested host:

    linux.py BUILD TURNS SECONDS    each value as a line of JSON: [test, subject, value, why there is none]

Needs root, /dev/net/tun, BUILD/debian-tools. Every wait is bounded.
"""
import sys

sys.dont_write_bytecode = True

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import machine
import memory
import report
import subjects
import throughput
from report import Row

TOP = Path(__file__).resolve().parent.parent.parent
RAM_MIB = 512
PORTS = (5201, 5202)  # iperf3's servers: what the guest sends, what it receives
FILES = ("vmlinuz", "initrd.img", "root.erofs")
PREPARE_S = 1800      # packages are fetched, an image is made
START_S, END_S = 150, 20
EACH_S = 20           # what a row may take besides its seconds: a program's start in an emulated machine
NOTE = ("rows of Linux are of a nested host, whose processor QEMU emulates: what they say of speed is good as a ratio of the two "
        "monitors alone")

MIB, MBIT, OPERATIONS = "MiB/s", "Mbit/s", "/s"
PING = re.compile(rb" ([1-9]\d*) received, .* time (\d+)ms")


def fio(operation, unit):
    """(the value in fio's answer, of how many requests)"""
    def read(text):
        done = json.loads(text)["jobs"][0][operation]
        return done["bw_bytes"] / (1 << 20) if unit == MIB else done["iops"], done["total_ios"]
    return read


def iperf(text):
    """(Mbit/s, of how many MiB)"""
    done = json.loads(text)["end"]["sum_received"]
    return done["bits_per_second"] / 1e6, done["bytes"] / (1 << 20)


def ping(text):
    """(answers a second, of how many)"""
    received, ms = (int(number) for number in PING.search(text).groups())
    return 1000 * received / ms, received


TESTS = (  # key (that of the guest's script), title, unit, what processor time is counted for, how its answer is read
    ("read-128k", "Linux, fio: reads of 128 KiB in a row, four at once", MIB, "each", fio("read", MIB)),
    ("write-128k", "Linux, fio: writes of 128 KiB in a row, four at once", MIB, "each", fio("write", MIB)),
    ("random-1", "Linux, fio: random reads of 4 KiB, one at a time", OPERATIONS, "each", fio("read", OPERATIONS)),
    ("random-32", "Linux, fio: random reads of 4 KiB, 32 at once", OPERATIONS, "each", fio("read", OPERATIONS)),
    ("send", "Linux, iperf3: one TCP stream to a tap, with offload", MBIT, "each MiB", iperf),
    ("receive", "Linux, iperf3: one TCP stream from a tap, with offload", MBIT, "each MiB", iperf),
    ("answers", "Linux, ping: one question at a time", OPERATIONS, "each", ping),
)

POLICY = """cofferdam: 1
name: bench-linux-{pid}
kernel: {{path: vmlinuz}}
initrd: {{path: initrd.img}}
cmdline: "{cmdline}"
machine: {{vcpus: 1, memory: {ram}MiB}}
disks:
  - {{name: root, path: root.erofs}}
  - {{name: data, path: disk.img, access: read-write, limits: {{bandwidth: 16GiB/s, operations: 1000000/s}}}}
networks: [{{name: eth0, tap: {tap}, mac: "{mac}", addresses: [{guest}], egress: [{{to: {peer}/32, tcp: [{ports}], icmp: on}}],
            limits: {{bandwidth: 100Gbit/s, packets: 1000000/s}}}}]
limits: {{cpu: {cpu}%}}
"""


class Cofferdam(subjects.Cofferdam):
    """The whole jail, and caps that are not reached."""

    def command(self, cmdline, has="linux"):
        policy = POLICY.format(pid=os.getpid(), cmdline=cmdline, ram=RAM_MIB, tap=subjects.TAP, mac=subjects.GUEST_MAC,
                               guest=subjects.GUEST_IP, peer=subjects.PEER_IP, ports=f"{PORTS[0]}-{PORTS[1]}",
                               cpu=100 * os.cpu_count())
        return [*self.words, "run", self.write("linux.yaml", policy)]


class Qemu(subjects.Qemu):
    """microvm with its PIT and PIC, which Linux looks for."""

    def command(self, cmdline, has="linux"):
        def disk(name, file, options=""):
            return ["-drive", f"if=none,id={name},format=raw,file={self.work / file}{options}",
                    "-device", f"virtio-blk-device,drive={name},serial={name}"]
        return [
            self.program, "-M", "microvm,acpi=on,isa-serial=off", "-accel", "kvm", "-cpu", "host", "-smp", "1", "-m", str(RAM_MIB),
            "-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-kernel", str(self.work / "vmlinuz"),
            "-initrd", str(self.work / "initrd.img"), "-append", cmdline, "-global", "virtio-mmio.force-legacy=false",
            "-chardev", "stdio,id=console,signal=off", "-device", "virtio-serial-device", "-device", "virtconsole,chardev=console",
            *disk("root", "root.erofs", ",readonly=on"), *disk("data", "disk.img"),
            "-netdev", f"tap,id=net,ifname={subjects.TAP},script=no,downscript=no,vhost=off",
            "-device", f"virtio-net-device,netdev=net,mac={subjects.GUEST_MAC}",
            "-device", "virtio-rng-device", "-device", "isa-debug-exit,iobase=0x501",
        ]


def both(build, work):
    found = [Cofferdam(build, work)]
    found[0].title = "cofferdam, jailed"
    qemu = Qemu(build, work)
    return [*found, qemu] if qemu.program else found


@contextlib.contextmanager
def servers():
    """New ones for each guest: one whose client went without a word would wait for it."""
    started = [subprocess.Popen(["iperf3", "--server", "--one-off", "--port", str(port)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for port in PORTS]
    try:
        yield
    finally:
        for server in started:
            server.kill()
            server.wait()


def answer(output, key, read):
    """(value, how many operations, None), or (None, None, why there is none)."""
    name = re.escape(key.encode())
    found = re.search(rb"^bench: " + name + rb" worked\r?\n(.*?)^bench: " + name + rb" ends", output, re.S | re.M)
    if not found:
        wrong = re.search(rb"^bench: (?:interface|" + name + rb") failed: ([^\r\n]*)", output, re.M)
        return None, None, wrong[1].decode(errors="replace") if wrong else "the guest does not say"
    try:
        return *read(found[1]), None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, ZeroDivisionError) as error:
        return None, None, f"no such answer: {error!r}"


def worked(vm, seconds):
    """The processor time that each test took, in ns."""
    used = {}
    vm.wait_for(b"bench: ", START_S)
    family = memory.family(vm.pid)
    for key, *_ in TESTS:
        vm.wait_for(f"bench: {key} begins".encode(), EACH_S)
        before = throughput.processor_ns(family)
        vm.wait_for(f"bench: {key} worked".encode(), seconds + EACH_S)
        used[key] = throughput.processor_ns(family) - before
    vm.wait_for(b"bench: over", EACH_S)
    return used


def said(subject, seconds):
    """(all that one guest says, the processor time of each test, what went wrong)"""
    cmdline = f"console=hvc0 loglevel=1 root=serial:root cofferdam.run=bench bench.seconds={seconds}"
    output, used = b"", {}
    try:
        with servers(), machine.running(subject.command(cmdline), END_S) as vm:
            try:
                used = worked(vm, seconds)
                vm.process.wait(END_S)  # it powers off: the tap is free for the next
            finally:
                output = vm.output
    except (machine.Failed, OSError, subprocess.TimeoutExpired) as error:
        return output, used, str(error)
    return output, used, None


def measure_once(subject, seconds):
    """(test, subject, value, why there is none) of each test: what a guest said before it went wrong counts. One that says nothing
    has another try: figures are wanted here, and other tests find out why a guest does not start."""
    output, used, wrong = said(subject, seconds)
    if b"bench: " not in output:
        output, used, wrong = said(subject, seconds)
    for key, *_, read in TESTS:
        value, times, reason = answer(output, key, read)
        yield key, subject.key, value, reason and (wrong or reason)
        if times and key in used:
            yield f"{key}-cpu", subject.key, used[key] / times / 1000, None


def turns_here(build, turns, seconds):
    """In a network namespace with the tap in it."""
    with tempfile.TemporaryDirectory(prefix="cofferdam-bench-") as folder:
        work = Path(folder)
        for name in FILES:
            shutil.copyfile(build / "debian-tools" / name, work / name)
            os.chmod(work / name, 0o600)
        subjects.make_image(work / subjects.IMAGES["disk"], subjects.DISK_BYTES)
        able = both(build, work)
        for _ in range(turns):
            for subject in able:
                yield from measure_once(subject, seconds)


def turns_nested(build, turns, seconds):
    """The same, in the nested host; its images are on its ext4."""
    patience = 300 + 2 * turns * (START_S + len(TESTS) * (seconds + EACH_S))
    command = ["setpriv", "--pdeathsig", "TERM", TOP / "tests/host/run", "--timeout", str(patience), "env", "TMPDIR=/mnt/scratch",
               Path(__file__).resolve(), build, str(turns), str(seconds)]
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as host:
        try:
            for line in host.stdout:
                yield json.loads(line)
            if host.wait(machine.START_S) != 0:
                raise machine.Failed(f"the nested host ended with status {host.returncode}")
        finally:
            host.terminate()  # it ends its machine


def is_here():
    return report.kvm_kind(report.read("/proc/cpuinfo")).startswith("hardware")


def prepare(build):
    """While there still is a network to fetch packages from."""
    made = [[TOP / "guest/debian/make-guest", "--tools", build / "debian-tools"]]
    if not is_here():
        made.append([TOP / "tests/host/build"])
    for command in made:
        subprocess.run(list(map(str, command)), check=True, timeout=PREPARE_S, stdout=sys.stderr, env={**os.environ, "B": str(build)})


def measure(build, work, turns, seconds):
    note = None if is_here() else NOTE
    able = both(build, work)
    rows = {}
    for key, title, unit, each, _ in TESTS:
        for subject in able:
            rows[key, subject.key] = Row(f"linux-{key}", title, subject, unit, note)
        for subject in able:
            rows[f"{key}-cpu", subject.key] = Row(f"linux-{key}-cpu", f"{title}: processor time {each}", subject, "us", note)
    try:
        for key, subject, value, reason in (turns_here if is_here() else turns_nested)(build, turns, seconds):
            row = rows[key, subject]
            row.fail(reason) if reason else row.add(value)
    except (machine.Failed, OSError, ValueError, subprocess.SubprocessError) as error:
        for row in rows.values():
            row.fail(str(error))
    return [row for row in rows.values() if row.values or not row.key.endswith("-cpu")]


def main():
    build, turns, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with throughput.own_network():
        for found in turns_here(build, turns, seconds):
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
