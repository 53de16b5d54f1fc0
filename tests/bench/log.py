"""What the log costs: records a second, with one fdatasync for many and for each; a launch with its logs on the disk and in
memory, where fdatasync costs nothing; and a guest's disk while the auditor runs and while it stands still, which shows
whether the way to a device leads through it. What is compared takes turns. No VM starts without a log, and nothing
here lets one.
"""
import os
import re
import select
import signal
import subprocess
import time

import launch
from report import Row

GROUPED, ALONE = 50000, 500
READS = 4000
LINE = re.compile(rb"bench: .* (\d+) a second")
PATIENCE_S = 60
LAUNCHES = 40
KINDS = {"grouped": "nobody waits: one fdatasync a second", "together": "32 at once wait, each for its own",
         "alone": "each waits before the next"}
POLICY = """cofferdam: 1
name: bench-log-{pid}
kernel: builtin
cmdline: "{cmdline}"
machine: {{vcpus: 1, memory: 256MiB}}
console: {{input: stdin}}
disks: [{{name: data, scratch: 1MiB, access: read-write}}]
"""


class Subject:
    """cofferdam, with its logs in a folder."""

    def __init__(self, key, title, build, work, logs):
        self.key, self.title, self.build, self.work = key, title, build, work
        self.host = work / f"{key}.yaml"
        self.write(self.host, f'cofferdam: 1\nfolders:\n  runtime: "{work}/{key}-run"\n  audit: "{logs}"\n')

    @staticmethod
    def write(path, text):
        path.write_text(text)
        os.chmod(path, 0o600)

    def command(self, cmdline):
        policy = self.work / f"log-{re.sub('[^a-z0-9]', '-', cmdline)}.yaml"
        self.write(policy, POLICY.format(pid=os.getpid(), cmdline=cmdline))
        return [str(self.build / "cofferdam"), "--host", str(self.host), "run", str(policy)]


def records(tools, work, times):
    rows = {word: Row(f"records-{word}", "records a second", Subject(word, title, tools.parent, work, work), "/s")
            for word, title in KINDS.items()}
    for _ in range(times):
        try:
            done = subprocess.run([str(tools / "records"), str(work / "records"), str(GROUPED), str(ALONE)],
                                  capture_output=True, text=True, check=True, timeout=4 * PATIENCE_S)
            for line in done.stdout.splitlines():
                word, number = line.split()
                rows[word].add(int(number))
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            for row in rows.values():
                row.fail(str(error))
    return list(rows.values())


def auditor_of(pid):
    """The process that writes the VM's log: its role is its argument."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for child in file.read().split():
            with open(f"/proc/{child}/cmdline", "rb") as command:
                if command.read().endswith(b"auditor\x003\x00"):
                    return int(child)
    return None


def hear(process, output, enough):
    end = time.monotonic() + PATIENCE_S
    while not enough(output) and select.select([process.stdout], [], [], max(0, end - time.monotonic()))[0]:
        piece = os.read(process.stdout.fileno(), 4096)
        if not piece:
            break
        output += piece
    if not enough(output):
        raise OSError(f"the guest said {bytes(output)[-200:]!r}")


def reads_once(command, held):
    """The guest waits for input; only then does it read, the auditor being held still, or not."""
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
    output, auditor = bytearray(), None
    try:
        hear(process, output, lambda text: b"echo until" in text)
        auditor = auditor_of(process.pid)
        if auditor is None:
            raise OSError("no auditor")
        os.kill(auditor, signal.SIGSTOP if held else signal.SIGCONT)
        process.stdin.write(b"\x04")
        hear(process, output, LINE.search)
        os.kill(auditor, signal.SIGCONT)
        if process.wait(PATIENCE_S) != 0:
            raise OSError(f"status {process.returncode}")
        return int(LINE.search(output)[1])
    finally:
        if process.poll() is None:
            if auditor is not None:
                os.kill(auditor, signal.SIGCONT)
            process.kill()
            process.wait()
        process.stdin.close()
        process.stdout.close()


def reads(build, work, times):
    command = Subject("reads", "", build, work, work / "reads-logs").command(f"echo bench=blk:{READS}")
    rows = [Row("log-reads", "disk reads of 4 KiB, and the log", Subject(key, title, build, work, work), "/s")
            for key, title in (("held", "the auditor held still"), ("writing", "the auditor runs"))]
    for _ in range(times):
        for row in rows:
            try:
                row.add(reads_once(command, row.subject.key == "held"))
            except (OSError, subprocess.SubprocessError) as error:
                row.fail(str(error))
    return rows


def launches(tools, build, work, memory):
    """Pairs: the folder of the logs on the disk, and in memory."""
    subjects = [Subject("log-on-disk", "cofferdam, logs on the disk", build, work, work / "disk-logs"),
                Subject("log-in-memory", "cofferdam, logs in memory (tmpfs)", build, work, memory)]
    rows = launch.measure(tools / "first", subjects, LAUNCHES)
    for row in rows:
        row.key, row.title = f"log-{row.key}", f"{row.title}, and the log"
    return rows


def measure(build, tools, work, times):
    memory = subprocess.run(["mktemp", "-d", "/dev/shm/cofferdam-bench-XXXXXX"], capture_output=True, text=True, check=True,
                            timeout=10).stdout.strip()
    try:
        return records(tools, work, times) + reads(build, work, times) + launches(tools, build, work, memory)
    finally:
        subprocess.run(["rm", "-rf", memory], check=False, timeout=30)
