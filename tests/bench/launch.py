"""Launch to the guest's first byte of output, and to the end of everything.

tests/bench/first.c holds the clock: this only takes turns and reads its line.
"""
import re
import subprocess
import time
from pathlib import Path

from report import Row

TIMEOUT_MS = 20000
PAUSE_S = 0.04  # what the kernel still tidies up of a launch should not fall into the next one
GIVE_UP = 3     # failures of one subject
CALM_S = 0.3    # how long to wait for a moment when nothing else runs
CALM_LOOKS = 4  # looks in a row that find it so


def wait_for_calm():
    """Other work on the host delays every process of a launch: begin when there is none, if that comes soon."""
    calm, deadline = 0, time.monotonic() + CALM_S
    while calm < CALM_LOOKS and time.monotonic() < deadline:
        found = re.search(r"^procs_running (\d+)", Path("/proc/stat").read_text(), re.M)
        calm = calm + 1 if found and int(found.group(1)) <= 1 else 0
        time.sleep(0.002)


def launch_once(first, command):
    """(ms to the first byte, ms to the end), or the reason for which there is no such thing."""
    try:
        done = subprocess.run([str(first), str(TIMEOUT_MS), *command], capture_output=True, text=True, check=True,
                              timeout=TIMEOUT_MS / 1000 + 10)
        byte, end, status = (int(word) for word in done.stdout.split())
    except (subprocess.SubprocessError, ValueError, OSError) as error:
        return None, str(error)
    if byte == 0 or status != 0:
        lines = done.stderr.strip().splitlines()
        return None, f"status {status}" + (f": {lines[0]}" if lines else "")
    return (byte / 1e6, end / 1e6), None


def measure(first, subjects, launches):
    rows = []
    for subject in subjects:
        rows.append((Row("first", "launch to first output", subject, "ms"), Row("end", "launch to end", subject, "ms")))
    for turn in range(launches + 1):
        for subject, (to_first, to_end) in zip(subjects, rows):
            if to_first.failures >= GIVE_UP:
                continue
            time.sleep(PAUSE_S)
            wait_for_calm()
            times, reason = launch_once(first, subject.command("first"))
            if reason:
                to_first.fail(reason)
                to_end.fail(reason)
            elif turn > 0:  # the first turn only warms the caches
                to_first.add(times[0])
                to_end.add(times[1])
    return [row[0] for row in rows] + [row[1] for row in rows]
