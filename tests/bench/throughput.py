"""What the guest's own driver gets through its devices, and the processor time that all of a VM's processes take for it, the
guest's included: from the guest's line that it begins to the one that it is done. The network and its peer have a network
namespace of their own, which no packet leaves.
"""
import contextlib
import ctypes
import os
import re
import subprocess

import machine
import memory
import subjects
from report import Row

BEGINS = b"bench: begins"
LINE = re.compile(rb"bench: .*, (\d+) of (\d+) bytes: .* (\d+) a second")
PATIENCE_S = 60
END_S = 15
CLONE_NEWNET = 0x40000000

MIB, OPERATIONS = "MiB/s", "/s"
TESTS = (  # key, title, unit, command line, what the machine has
    ("read-128k", "disk: reads of 128 KiB in a row, four at once", MIB, "bench=blk:6000 size=131072 depth=4", "disk"),
    ("write-128k", "disk: writes of 128 KiB in a row, four at once", MIB, "bench=write:500 size=131072 depth=4", "disk"),
    ("random-1", "disk: random reads of 4 KiB, one at a time", OPERATIONS, "bench=blk:6000 random", "disk"),
    ("random-32", "disk: random reads of 4 KiB, 32 at once", OPERATIONS, "bench=blk:40000 random depth=32", "disk"),
    ("frames", "network: frames of 1514 bytes to a tap", OPERATIONS, "bench=send:60000", "network"),
    ("receive", "network: frames of 1514 bytes from a tap", OPERATIONS, "bench=receive:60000", "network"),
    ("answers", "network: UDP, one question at a time", OPERATIONS, "bench=udp:6000", "network"),
    ("vsock", "vsock: one stream to the host", MIB, "bench=vsock:20000", "vsock"),
    ("vsock-receive", "vsock: one stream from the host", MIB, "bench=vsock-receive:20000", "vsock"),
)


def processor_ns(pids):
    """What all threads of these processes have used."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
    return total


def measure_once(subject, cmdline, has):
    """(how often a second, bytes each, us of processor time each)"""
    with machine.running(subject.command(f"{cmdline} end=hang", has), END_S) as vm:
        vm.wait_for(BEGINS)
        family = memory.family(vm.pid)
        before = processor_ns(family)
        vm.wait_for(b" a second", PATIENCE_S)
        used = processor_ns(family) - before
        found = LINE.search(vm.output)
        if not found:
            raise machine.Failed("no such line")
        times, size, rate = (int(number) for number in found.groups())
        return rate, size, used / times / 1000


def wakes(pids):
    """How often a thread of these processes has given up the processor of its own accord."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/status", encoding="utf-8") as file:
                    total += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches:"))
    return total


@contextlib.contextmanager
def peer(tools, *words):
    process = subprocess.Popen([str(tools / "peer"), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        if process.stdout.readline() != b"ready\n":
            raise machine.Failed("the peer does not start")
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def own_network():
    """A network namespace with a tap in it that is up, and knows where the guest is."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as before:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise machine.Failed("no network namespace: " + os.strerror(ctypes.get_errno()))
        try:
            for words in (f"tuntap add dev {subjects.TAP} mode tap",
                          f"link set {subjects.TAP} address {subjects.PEER_MAC} up",
                          f"address add {subjects.PEER_IP}/24 dev {subjects.TAP}",
                          f"neighbour add {subjects.GUEST_IP} lladdr {subjects.GUEST_MAC} dev {subjects.TAP} nud permanent"):
                subprocess.run(["ip", *words.split()], check=True, timeout=10, capture_output=True)
            yield
        finally:
            libc.setns(before.fileno(), CLONE_NEWNET)


@contextlib.contextmanager
def place(has, tools, work):
    """What a test wants around its machines."""
    with contextlib.ExitStack() as stack:
        if has == "network":
            stack.enter_context(peer(tools, "udp", "7"))
        if has == "vsock":
            stack.enter_context(peer(tools, "unix", str(work / subjects.VSOCK_SINK)))
            stack.enter_context(peer(tools, "source", str(work / subjects.VSOCK_SOURCE)))
        yield


def measure_test(machines, times, test, tools, work, before=lambda: None):
    """`before`: what is done before each VM."""
    key, title, unit, cmdline, has = test
    able = [subject for subject in machines if has in subject.has]
    rows = [(Row(key, title, subject, unit), Row(f"{key}-cpu", f"{title}: processor time each", subject, "us"))
            for subject in able]
    try:
        with place(has, tools, work):
            for _ in range(times):
                for subject, (speed, cost) in zip(able, rows):
                    try:
                        before()
                        rate, size, used = measure_once(subject, cmdline, has)
                    except (machine.Failed, OSError) as error:
                        speed.fail(str(error))
                        continue
                    speed.add(rate * size / (1 << 20) if unit == MIB else rate)
                    cost.add(used)
    except (machine.Failed, OSError, subprocess.SubprocessError) as error:
        for speed, _ in rows:
            speed.fail(str(error))
    return [row[0] for row in rows] + [row[1] for row in rows if row[1].values]


def measure(machines, times, tools, work):
    return [row for test in TESTS for row in measure_test(machines, times, test, tools, work)]
