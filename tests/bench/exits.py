"""How often the guest leaves the kernel, for the process that runs it: each return of KVM_RUN (the tracer's
kvm_userspace_exit), counted for each disk read of 4 KiB and each question over the network. Wants root.
"""
import contextlib
import os
import re
import subprocess

import machine
import memory
import throughput
import tracing
from report import Row

TESTS = (("exits-read", "exits to user space, each disk read", "bench=blk:{} random", "disk"),
         ("exits-answer", "exits to user space, each UDP question and answer", "bench=udp:{}", "network"))
FEW, MANY = 100, 2100
LINE = re.compile(r"^\s*.+-(\d+)\s+\[\d+\].*: kvm_userspace_exit:", re.M)


def threads(pids):
    tasks = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):  # who only starts the others may end meanwhile
            tasks |= {int(task) for task in os.listdir(f"/proc/{pid}/task")}
    return tasks


def count(subject, cmdline, has):
    """From the VM's start to the end of what it measures."""
    with tracing.tracer(("kvm/kvm_userspace_exit",)) as instance:
        with machine.running(subject.command(f"{cmdline} end=hang", has), throughput.END_S) as vm:
            vm.wait_for(b" a second", throughput.PATIENCE_S)
            (instance / "tracing_on").write_text("0")
            ours = threads(memory.family(vm.pid))
        return sum(int(pid) in ours for pid in LINE.findall((instance / "trace").read_text(errors="replace")))


def measure(machines, tools, work):
    rows = []
    for key, title, cmdline, has in TESTS:
        for subject in machines:
            row = Row(key, title, subject, "exits")
            rows.append(row)
            try:
                with throughput.place(has, tools, work):
                    few, many = (count(subject, cmdline.format(times), has) for times in (FEW, MANY))
                row.add(round((many - few) / (MANY - FEW), 2) + 0.0)  # never -0
            except (machine.Failed, OSError, subprocess.SubprocessError) as error:
                row.fail(str(error))
    return rows
