#!/usr/bin/env python3
"""How often a guest leaves the kernel on the data path, beside QEMU's microvm with the same guest and the same devices: each return
of KVM_RUN for each disk read of 4 KiB and each question over the network, as the kernel's tracer counts them (tests/bench/exits.py).
Registers are read as memory, kicks and interrupts are events: ours is none, on every KVM. B: build folder. Needs root, /dev/kvm,
/dev/net/tun and the tracer. Every wait is bounded."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "bench"))  # before this folder, which has namesakes
import exits  # noqa: E402
import machine
import network
import subjects
import throughput
import tools
import tracing
from events import are_events

BUILD = Path(os.environ.get("B", "build")).resolve()
MOST = 0.05  # of each request: what else the guest does while it is measured
SLOW_S = 400


def lacks():
    """What is missing, or nothing."""
    if os.geteuid() != 0 or not os.access("/dev/kvm", os.W_OK) or not os.path.exists("/dev/net/tun"):
        return "root, a usable /dev/kvm and /dev/net/tun"
    try:
        with tracing.tracer(("kvm/kvm_userspace_exit",)):
            return None
    except (OSError, subprocess.SubprocessError) as error:
        return f"the kernel's tracer ({error})"


def measure(work):
    everyone = subjects.everyone(BUILD, BUILD / "bench", Path(work))
    with throughput.own_network():
        return exits.measure([subject for subject in everyone if subject.is_machine], BUILD / "bench", Path(work))


def main():
    missing = lacks()
    if missing:
        print(f"  skipped: needs {missing}\n0 passed, 0 failed, 1 skipped")
        return 0
    if network.is_emulated():
        throughput.PATIENCE_S = SLOW_S
    tools.build(BUILD / "bench", ("peer",))
    with tempfile.TemporaryDirectory(prefix="cofferdam-test-") as work:
        try:
            rows = measure(work)
            all_events, said = are_events(work, "audit")
        except (machine.Failed, OSError, subprocess.SubprocessError) as error:
            print(f"  FAILED: nothing was measured: {error}\n0 passed, 1 failed, 0 skipped")
            return 1
    counts = {"passed": 0, "failed": int(not all_events), "skipped": 0}
    if not all_events:
        print(f"  FAILED: every line of the logs is an event of OCSF: {said}")
    theirs = {row.key: row.median() for row in rows if row.subject.key == "qemu"}
    for row in (row for row in rows if row.subject.key == "cofferdam"):
        ours, other = row.median(), theirs.get(row.key)
        good = ours is not None and ours <= MOST and (other is None or ours < other)
        counts["passed" if good else "failed"] += 1
        print(f"  {'' if good else 'FAILED: '}{row.title}: {row.reason if ours is None else ours}; QEMU microvm: {other}")
    counts["skipped"] += sum(value is None for value in theirs.values())
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return counts["failed"] != 0 or counts["passed"] == 0


if __name__ == "__main__":
    sys.exit(main())
