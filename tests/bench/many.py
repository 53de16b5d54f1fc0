"""Many VMs at once on one machine: how long each launch takes, what all of them hold, and what they cost when idle.

Each is started by `run --detach`, which returns when its guest runs, one after another. The guest says its line and halts
for good. Then nothing is done for a while, and at last all are ended. As many bare monitors before them tell what of the
memory KVM itself takes, for a guest of the same size.
"""
import contextlib
import os
import select
import subprocess
import time

import memory
import throughput
from report import Row

START_S, KILL_S = 30, 30
EDGE = 20      # launches at either end that are told apart
IDLE_S = 10
SETTLE_S = 2   # what follows a start goes on for a moment
FLOOR_S = 10   # for a bare monitor's line, or its end
TAKEN = "memory taken from the host's, guest RAM included, each"


def available_kib():
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))


def launchers(folder):
    """The launchers of this measurement, which no longer are our children: they name its folder."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                with open(f"/proc/{entry}/comm", encoding="ascii") as file:
                    is_launcher = file.read() == "cofferdam\n"  # its child that writes the host's log has its words
            except OSError:
                continue
            if is_launcher and b"--detach" in words and any(word.startswith(os.fsencode(folder) + b"/many-") for word in words):
                found.append(int(entry))
    return found


def start(subject, index):
    """ms until the guest runs."""
    command = subject.detached(index)
    begin = time.monotonic_ns()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          timeout=START_S, check=False)
    took = (time.monotonic_ns() - begin) / 1e6
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise OSError(f"VM {index}: status {done.returncode}" + (f": {lines[0]}" if lines else ""))
    return took


def end(subject, started, row):
    """All of them, whatever becomes of one; ms each."""
    for index in range(started):
        begin = time.monotonic_ns()
        try:
            subprocess.run(subject.kill(index), stdin=subprocess.DEVNULL, capture_output=True, timeout=KILL_S, check=True)
            row.add((time.monotonic_ns() - begin) / 1e6)
        except (OSError, subprocess.SubprocessError) as error:
            row.fail(str(error))


def look(rows, folder, count, free):
    """What `count` VMs hold and use."""
    time.sleep(SETTLE_S)
    families = [member for pid in launchers(folder) for member in memory.family(pid)]
    rows["available"].add((free - available_kib()) / count)
    used, woken = throughput.processor_ns(families), throughput.wakes(families)
    time.sleep(IDLE_S)
    rows["idle"].add((throughput.processor_ns(families) - used) / IDLE_S / 1e7)
    rows["wakes"].add((throughput.wakes(families) - woken) / IDLE_S)
    own, ram = memory.pss(families)
    rows["pss"].add(own / 1024)
    rows["ram"].add(ram / 1024)
    rows["processes"].add(len(families))


@contextlib.contextmanager
def bare(words):
    """A bare monitor that has run its guest."""
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if not select.select([process.stdout], [], [], FLOOR_S)[0] or process.stdout.read(2) != b"!\n":
                raise OSError("a bare monitor says nothing")
            yield process
            process.stdin.close()
            process.wait(FLOOR_S)
        finally:
            process.kill()


def measure_floor(floor, count):
    """What `count` of them hold: the kernel's part of it is KVM's."""
    row = Row("many-available", f"{count} VMs: {TAKEN}", floor, "KiB")
    free = available_kib()
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(bare(floor.staying()))
            time.sleep(SETTLE_S)
            row.add((free - available_kib()) / count)
    except (OSError, subprocess.SubprocessError) as error:
        row.fail(str(error))
    return row


def measure(subject, count, folder, floor):
    """`count` VMs; those that run when something goes wrong, or somebody ends us, are ended all the same."""
    of_floor = measure_floor(floor, count)
    time.sleep(SETTLE_S)
    name, edge = f"{count} VMs: ", min(EDGE, count)
    rows = {key: Row(f"many-{key}", name + title, subject, unit) for key, title, unit in (
        ("launch", "launch until the guest runs", "ms"), ("first", f"the first {edge} launches", "ms"),
        ("last", f"the last {edge} launches", "ms"), ("processes", "processes of all", ""),
        ("pss", "PSS of all, without guest RAM", "MiB"), ("ram", "guest RAM of all in use", "MiB"),
        ("available", TAKEN, "KiB"),
        ("idle", "processor time of all when idle, of one core", "%"),
        ("wakes", "times that a thread of any wakes when idle", "/s"), ("end", "end of each", "ms"))}
    times, free = [], available_kib()
    try:
        for index in range(count):
            times.append(start(subject, index))
        look(rows, folder, count, free)
    except (OSError, subprocess.SubprocessError) as error:
        rows["launch"].fail(str(error))
    finally:
        end(subject, len(times), rows["end"])
    rows["launch"].values = times
    rows["first"].values, rows["last"].values = times[:edge], times[-edge:]
    return [*rows.values(), of_floor]
