"""The processes of a hostile guest's VM as hostile.py looks at them, and how the guest hears that it has."""
import contextlib
import os
import re


def children(pid):
    """The VM's processes. Who writes the host's log is the launcher's child as well, and may be gone by now."""
    found = []
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            listed = [int(child) for child in file.read().split()]
    except OSError:
        return found
    for child in listed:
        try:
            with open(f"/proc/{child}/comm") as file:
                found += [child] if file.read().startswith("cofferdam-") else []
        except OSError:
            pass
    return found


class Heed:
    """Tells the guest that a line was read, and its processes looked at, by a word in its memory: or it would run ahead of us, and
    what a process takes while the guest is quiet would be charged to another case. Only root can look into a device's files."""
    WORD = "heeded" if os.geteuid() == 0 else ""
    LINE = re.compile(rb"case \d+ |quiet$")
    PLACE = re.compile(rb"looks at ([0-9a-f]+)")
    RAM = 4  # DEVICE_FD_RAM

    def __init__(self):
        self.file, self.at, self.count = -1, 0, 0

    def answer(self, line, processes):
        place = self.PLACE.search(line)
        if place and self.WORD:
            device = next(pid for pid, member in processes.items() if member.name.startswith("cofferdam-dev"))
            self.file, self.at = os.open(f"/proc/{device}/fd/{self.RAM}", os.O_RDWR), int(place[1], 16)
        self.count += bool(self.LINE.search(line))
        if self.file >= 0:
            os.pwrite(self.file, self.count.to_bytes(4, "little"), self.at)

    def end(self):
        if self.file >= 0:
            os.close(self.file)


class Process:
    """What one process of the VM uses. Of the monitor only the main thread: the others are the guest."""

    def __init__(self, pid):
        self.pid, self.cpu, self.first, self.most = pid, 0, None, 0
        self.had, self.files = set(), []  # KiB that it has asked for, open files in the end
        with open(f"/proc/{pid}/comm") as file:
            self.name = file.read().strip()
        self.used = open(f"/proc/{pid}/task/{pid}/schedstat", "rb", 0)
        self.status = open(f"/proc/{pid}/status", "rb", 0)

    def sample(self):
        try:
            cpu = int(os.pread(self.used.fileno(), 100, 0).split()[0])
            status = os.pread(self.status.fileno(), 4096, 0)
            memory = int(re.search(rb"^RssAnon:\s+(\d+)", status, re.M)[1])
            self.had.add(int(re.search(rb"^VmData:\s+(\d+)", status, re.M)[1]))
        except (OSError, TypeError, IndexError):  # it has ended
            return 0
        took, self.cpu = cpu - self.cpu, cpu
        self.first = self.first or memory
        self.most = max(self.most, memory)
        return took

    def count_files(self):
        with contextlib.suppress(OSError):  # it has ended, or is not ours to look into
            self.files.append(len(os.listdir(f"/proc/{self.pid}/fd")))
