"""Memory of an idle VM: the sum of PSS over all its processes, guest RAM aside.

The guest has said its line and halts for good. Guest RAM is told from the rest by its mapping: the memfd of that name in
cofferdam's processes, the one anonymous mapping of just that size in QEMU. Reading other users' smaps takes root.
"""
import os
import time

import machine
import subjects
from report import Row

SETTLE_S = 0.4
END_S = 15
GREETING = b"hello from ring 3"


def family(pid):
    """The process and all that descend from it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def is_ram(name, size):
    return name.startswith("/memfd:ram ") or (name == "" and size == subjects.RAM_MIB << 20)


def mappings(pid):
    """(name, size, PSS in KiB) of each mapping of a process."""
    name, size = "", 0
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split(maxsplit=5)
            if not words[0].endswith(":"):
                start, _, end = words[0].partition("-")
                name, size = words[5].strip() if len(words) > 5 else "", int(end, 16) - int(start, 16)
            elif words[0] == "Pss:":
                yield name, size, int(words[1])


def pss(pids):
    """KiB of all but guest RAM, and of guest RAM."""
    own = ram = 0
    for pid in pids:
        for name, size, amount in mappings(pid):
            if is_ram(name, size):
                ram += amount
            else:
                own += amount
    return own, ram


def measure_once(subject):
    with machine.running(subject.command("first end=hang"), END_S) as vm:
        vm.wait_for(GREETING)
        time.sleep(SETTLE_S)
        return pss(family(vm.pid)), len(family(vm.pid))


def measure(machines, times):
    rows = [(Row("pss", "PSS when idle, without guest RAM", subject, "KiB"),
             Row("processes", "processes", subject, ""),
             Row("ram", "guest RAM in use then", subject, "KiB")) for subject in machines]
    for _ in range(times):
        for subject, (own_row, count_row, ram_row) in zip(machines, rows):
            try:
                (own, ram), count = measure_once(subject)
            except (machine.Failed, OSError) as error:
                own_row.fail(str(error))
                continue
            own_row.add(own)
            count_row.add(count)
            ram_row.add(ram)
    return [row[0] for row in rows] + [row[1] for row in rows] + [row[2] for row in rows]
