#!/usr/bin/env python3
"""Nothing ticks for an idle VM: each thread of its processes, the launcher and the host's auditor among them, waits for
something to happen, without a limit of time but for the supervisor's, which is limits.run_time, and the auditor's, which is a
quarter of an hour, as long as a key may last. The only timers are on processor time, which stands still with the process, and
no thread wakes. The guest halts, its own timer stopped. Needs B (build folder), root and /dev/kvm. Every wait is bounded."""
import math
import os
import re
import select
import struct
import subprocess
import sys
import tempfile
import time

from events import are_events

COFFERDAM = os.path.join(os.path.abspath(os.environ.get("B", "build")), "cofferdam")
START_S, END_S = 60, 60
SETTLE_S = 90  # the start is signed after a second, and looked at once more after ten if it took much processor time
WINDOW_S, WINDOWS = 3, 10
PROCESSES = 11  # of the policy below, with its launcher and the host's auditor
POLICY = """cofferdam: 1
name: idle
kernel: builtin
cmdline: list end=button
machine: {vcpus: 2, memory: 64MiB}
disks:
  - {name: data, path: data.img, access: read-only}
  - {name: scratch, scratch: 1MiB, access: read-write}
balloon: {minimum: 32MiB}
vsock: {cid: CID, path: vsock}
limits: {cpu: 100%, run_time: 24h}
""".replace("CID", str(1000 + os.getpid()))
# By number, on x86-64: what it is called, and whether these arguments have no limit of time.
KVM_RUN, PPOLL = 0xae80, 271
LEFT_S = {"cofferdam-super": 23 * 3600, "cofferdam-audit": 14 * 60}  # at least
WAITS = {
    0: ("read", lambda words: True),
    7: ("poll", lambda words: words[2] & 1 << 31 != 0),
    16: ("ioctl", lambda words: words[1] & 0xffffffff == KVM_RUN),
    45: ("recvfrom", lambda words: True),
    47: ("recvmsg", lambda words: True),
    61: ("wait4", lambda words: True),
    202: ("futex", lambda words: words[3] == 0),
    PPOLL: ("ppoll", lambda words: words[2] == 0),
}
counts = {"passed": 0, "failed": 0, "skipped": 0}


def check(name, is_, said=""):
    counts["passed" if is_ else "failed"] += 1
    if not is_:
        print(f"  FAILED: {name}: {said}")


def read(*path):
    with open(os.path.join("/proc", *map(str, path)), encoding="utf-8", errors="replace") as file:
        return file.read()


def family(launcher):
    """The launcher and its children, which have none."""
    return [launcher, *map(int, read(launcher, "task", launcher, "children").split())]


def threads(pids):
    """(process, thread) of all but the kernel's own worker in the process that runs a VM."""
    return [(pid, thread) for pid in pids for thread in os.listdir(f"/proc/{pid}/task")
            if not read(pid, "task", thread, "comm").startswith("kvm-")]


def seconds_at(pid, address):
    """Of a struct timespec."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        return struct.unpack("q", os.pread(memory.fileno(), 8, address))[0] if address else 0


def limit_of(pid, thread):
    """Why this thread may wake though nothing happens; None: it may not."""
    words = read(pid, "task", thread, "syscall").split()
    who = f"{read(pid, 'comm').strip()}, thread {thread}: "
    if not words[0].isdigit():
        return who + words[0]
    name, is_without = WAITS.get(int(words[0]), (f"system call {words[0]}", lambda words: False))
    if int(words[0]) == PPOLL and seconds_at(pid, int(words[3], 16)) >= LEFT_S.get(who.partition(",")[0], math.inf):
        return None
    return None if is_without([int(word, 16) for word in words[1:7]]) else f"{who}{name} {' '.join(words[1:4])}"


def limits(pids):
    return [limit for limit in (limit_of(*thread) for thread in threads(pids)) if limit]


def until(condition, seconds):
    """What it says last: nothing, or what is still wrong."""
    end = time.monotonic() + seconds
    while (wrong := condition()) and time.monotonic() < end:
        select.select([], [], [], 0.05)
    return wrong


def timers(pids):
    """Those on a clock that goes on while the process waits: their clocks' numbers are not below 0."""
    found = [f"{pid}: clock {clock}" for pid in pids if os.path.exists(f"/proc/{pid}/timers")
             for clock in re.findall(r"^ClockID: (\d+)", read(pid, "timers"), re.M)]
    for pid in pids:
        found += [f"{pid}: a timer's descriptor" for number in os.listdir(f"/proc/{pid}/fd")
                  if os.readlink(f"/proc/{pid}/fd/{number}") == "anon_inode:[timerfd]"]
    return found


def wakes(pids):
    return {thread: int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", read(thread[0], "task", thread[1], "status"), re.M)[1])
            for thread in threads(pids)}


def quiet_window(pids):
    """The kernel may wake a thread for reasons of its own, now and then. Who woke in each window."""
    woken = {}
    for _ in range(WINDOWS):
        before = wakes(pids)
        select.select([], [], [], WINDOW_S)
        after = wakes(pids)
        woken = {f"{read(pid, 'comm').strip()} {thread}": after[pid, thread] - before.get((pid, thread), 0)
                 for pid, thread in after if after[pid, thread] != before.get((pid, thread))}
        if not woken:
            break
    return woken


def observe(launcher, place):
    def starting():
        with open(f"{place}/output", encoding="utf-8", errors="replace") as file:
            text = file.read()
        return "" if "power button" in text and len(family(launcher.pid)) == PROCESSES else text or "nothing is said"

    wrong = until(starting, START_S)
    check("the VM starts", not wrong, wrong)
    if wrong:
        return
    pids = family(launcher.pid)
    wrong = until(lambda: limits(pids), SETTLE_S)
    check("no thread waits for a moment", not wrong, wrong)
    check("no timer is on any clock but a process's own", not timers(pids), timers(pids))
    woken = quiet_window(pids)
    check("and none wakes", not woken, woken)
    check("all are there", sorted(family(launcher.pid)) == sorted(pids), family(launcher.pid))
    launcher.terminate()
    check("it is told to end, and does", launcher.wait(END_S) == 0, launcher.returncode)


def main():
    if os.geteuid() != 0 or not os.access("/dev/kvm", os.W_OK):
        print("  skipped: needs root and a usable /dev/kvm\n0 passed, 0 failed, 1 skipped")
        return 0
    with tempfile.TemporaryDirectory(prefix="cofferdam-test-") as place:
        for name, text in {"host.yaml": f'cofferdam: 1\nfolders: {{runtime: "{place}/run", audit: "{place}/log"}}\n',
                           "idle.yaml": POLICY, "data.img": "\0" * (1 << 20)}.items():
            with open(f"{place}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(file.name, 0o600)
        with open(f"{place}/output", "wb") as output:
            launcher = subprocess.Popen([COFFERDAM, "--host", f"{place}/host.yaml", "run", f"{place}/idle.yaml"],
                                        stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            observe(launcher, place)
        finally:
            launcher.kill()
            launcher.wait(END_S)
        check("every line of the logs is an event of OCSF", *are_events(place))
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return counts["failed"] != 0


sys.exit(main())
