"""Launch to the guest's first byte of output, and to the end of everything.

tests/bench/first.c holds the clock: this only takes turns and reads its line.
"""
import subprocess
import time

from report import Row

TIMEOUT_MS = 20000
PAUSE_S = 0.04  # what the kernel still tidies up of a launch should not fall into the next one
GIVE_UP = 3     # failures of one subject


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
            times, reason = launch_once(first, subject.command("first"))
            time.sleep(PAUSE_S)
            if reason:
                to_first.fail(reason)
                to_end.fail(reason)
            elif turn > 0:  # the first turn only warms the caches
                to_first.add(times[0])
                to_end.add(times[1])
    return [row[0] for row in rows] + [row[1] for row in rows]
