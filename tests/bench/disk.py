"""Reads of 4 KiB from the same image by the same guest, one at a time: what the way to a device and back costs."""
import re

import machine
from report import Row

READS = 2000
LINE = re.compile(rb"reads of \d+ bytes one at a time: .* (\d+) a second")
END = b"a second\n"
END_S = 15


def measure_once(subject):
    with machine.running(subject.command(f"bench=blk:{READS}", disk="file"), END_S) as vm:
        vm.wait_for(END, 30)
        found = LINE.search(vm.output)
        if not found:
            raise machine.Failed("no such line")
        return int(found.group(1))


def measure(machines, times):
    rows = [Row("reads", "disk reads of 4 KiB, one at a time", subject, "/s") for subject in machines]
    for _ in range(times):
        for subject, row in zip(machines, rows):
            try:
                row.add(measure_once(subject))
            except (machine.Failed, OSError) as error:
                row.fail(str(error))
    return rows
