"""Many VMs at once on one machine: how long each launch takes, what all of them hold, and what they cost when idle.

Each is started by `run --detach`, which returns when its guest runs, one after another. The guest says its line and halts
for good. Then nothing is done for a while, and at last all are ended.
"""
import os
import subprocess
import time

import memory
import throughput
from report import Row

START_S, KILL_S = 30, 30
EDGE = 20      # launches at either end that are told apart
IDLE_S = 10
SETTLE_S = 2   # what follows a start goes on for a moment


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


def measure(subject, count, folder):
    """`count` VMs; those that run when something goes wrong, or somebody ends us, are ended all the same."""
    name, edge = f"{count} VMs: ", min(EDGE, count)
    rows = {key: Row(f"many-{key}", name + title, subject, unit) for key, title, unit in (
        ("launch", "launch until the guest runs", "ms"), ("first", f"the first {edge} launches", "ms"),
        ("last", f"the last {edge} launches", "ms"), ("processes", "processes of all", ""),
        ("pss", "PSS of all, without guest RAM", "MiB"), ("ram", "guest RAM of all in use", "MiB"),
        ("available", "memory taken from the host's, guest RAM included, each", "KiB"),
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
    return list(rows.values())
