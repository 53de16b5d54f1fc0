#!/usr/bin/env python3
"""Each rule of each system call filter is needed: with the rule left out, a VM that does all that a VM does falls over
that very call. Runs real VMs with build/trial/cofferdam, the launcher of a test's build; needs a usable /dev/kvm and
root (one process is held still while another is killed). Every wait is bounded. B: build folder. With an argument: only the
rules that have it in role, thread, call or condition."""
import concurrent.futures
import ctypes
import fcntl
import glob
import itertools
import json
import os
import pty
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time

import network
import vsock
from events import are_events

BUILD = os.path.abspath(os.environ.get("B", "build"))
COFFERDAM = os.path.join(BUILD, "trial", "cofferdam")
CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
WAIT_S = 20
SLOW_WAIT_S = 120  # where there is no clock that the vDSO can read, the machine is an emulated one
ANSWER_S = 60  # LINK_ANSWER_S
TRIES = 10
BENCH, PASST_FRAMES = "10.7.0", 1500  # of 1514 bytes, to .1 from .7: two of passt's reads are ended
no_events = []  # what tests/ocsf has said of the logs of those trials of which not every line is an event
CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
libc = ctypes.CDLL(None)
SUPERVISOR, MONITOR, AUDITOR, CONSOLE, DISK, KEPT, NETWORK, ENTROPY, BALLOON, VSOCK = range(1, 11)
NAMES = {SUPERVISOR: "supervisor", MONITOR: "monitor", AUDITOR: "auditor",
         CONSOLE: "device 'console'", DISK: "device 'scratch'", KEPT: "device 'kept'", NETWORK: "device 'eth0'", ENTROPY: "device 'entropy'",
         BALLOON: "device 'balloon'", VSOCK: "device 'vsock'"}

# Rules that the ordinary work does not need: role, thread, call, beginning of the condition; and the trial that does.
ELSEWHERE = [
    (SUPERVISOR, "main", "ioctl", "", "orphan_terminal"),
    (MONITOR, "main", "exit_group", "", "bad_kernel"),
    (MONITOR, "vcpu", "exit_group", "", "silent_device"),
    (CONSOLE, "main", "exit_group", "", "orphan_devices"),
    (DISK, "main", "exit_group", "", "orphan_devices"),
    (KEPT, "main", "exit_group", "", "orphan_devices"),
    (NETWORK, "main", "exit_group", "", "orphan_devices"),
    (ENTROPY, "main", "exit_group", "", "orphan_devices"),
    (BALLOON, "main", "exit_group", "", "orphan_devices"),
    (VSOCK, "main", "exit_group", "", "orphan_devices"),
]


def not_tried(call):
    """Why a rule cannot be tried on this host; None: it can."""
    if call == "clock_gettime" and vdso_has_the_clock():
        return "clock_gettime: the vDSO can read this host's clock; the nested host's it cannot"
    return None


def vdso_has_the_clock():
    with open(CLOCK_SOURCE, encoding="ascii") as file:
        return file.read().strip() in ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page")


def in_the_child(terminal):
    """A test that is killed takes its VMs along: each ends as when it is told to, and leaves nothing."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if terminal is not None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Run:
    """One VM, with at most one rule left out, in a folder of its own, on a tap or a passt of its own."""
    numbers = itertools.cycle(range(1, 255))

    def __init__(self, trial, rule=None, with_passt=False):
        self.folder = tempfile.mkdtemp(prefix="cofferdam-test-")
        self.name = "rules-" + os.path.basename(self.folder)[-8:].lower().replace("_", "-") + "x"
        self.rule = rule
        self.number = next(Run.numbers)
        self.output = b""
        self.trial = trial
        self.with_passt = with_passt
        self.process = None
        self.host_side = None

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    def prepare(self, cmdline="", extra="", kernel="builtin"):
        """Writes the host file, two images that are all hole, and the policy, whose path it returns."""
        way = (f"passt: on, addresses: [10.7.{self.number}.7, {BENCH}.7], "
               f"egress: [{{to: {network.OUTER}/32, udp: [7]}}, {{to: {BENCH}.1/32, udp: [7]}}]"
               if self.with_passt else
               f"tap: cft{self.number}, create: {{address: 10.7.{self.number}.1}}, addresses: [10.7.{self.number}.7], "
               "egress: [{to: 10.7.0.0/16, icmp: on}]")
        os.truncate(self.write("disk.raw", ""), 1 << 20)
        os.truncate(self.write("base.raw", ""), 1 << 20)
        self.host = self.write("host.yaml", "cofferdam: 1\nfolders:\n"
                               f'  runtime: "{self.folder}/run"\n  audit: "{self.folder}/log"\n  programs: "{BUILD}"\n')
        return self.write("policy.yaml", f"cofferdam: 1\nname: {self.name}\n"
                            f'kernel: {kernel}\ncmdline: "{cmdline}"\nmachine: {{vcpus: 2, memory: 64MiB}}\nballoon: {{minimum: 32MiB}}\n'
                            f'vsock: {{cid: {secrets.randbelow(1 << 31) + 3}, path: v, guest_may_connect: [5000-5003]}}\n'
                            "disks: [{name: scratch, path: disk.raw, access: read-write, limits: {growth: 512KiB}}, {name: kept, path: base.raw, overlay: keep}]\n"
                            f"networks: [{{name: eth0, {way}}}]\n"
                            f"console: {{input: stdin}}\ncontrol: {{grace: 5s}}\n{extra}")

    def start(self, cmdline="", extra="", kernel="builtin", terminal=None):
        policy = self.prepare(cmdline, extra, kernel)
        environment = dict(os.environ)
        if self.rule:
            environment["COFFERDAM_LEAVE_OUT"] = self.rule
        words = [COFFERDAM, "--host", self.host, "run", policy]
        if terminal is not None:
            words = ["/bin/sh", "-c", '"$@"; exit $?', "sh", *words]
        self.process = subprocess.Popen(
            words, env=environment, start_new_session=True, stdin=subprocess.PIPE if terminal is None else terminal,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.STDOUT if terminal is None else terminal,
            preexec_fn=lambda: in_the_child(terminal))
        self.reader = self.process.stdout.fileno() if terminal is None else None

    def read_until(self, text):
        end = time.monotonic() + WAIT_S
        while text not in self.output and time.monotonic() < end:
            if not select.select([self.reader], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(self.reader, 4096)
            except OSError:
                break
            if not piece:
                break
            self.output += piece
        return text in self.output

    def type(self, text):
        try:
            os.write(self.process.stdin.fileno(), text)
        except BrokenPipeError:
            pass

    def children(self, pid):
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                return [int(child) for child in file.read().split()]
        except OSError:
            return []

    def process_of(self, role, parent=None):
        """The pid of a role's process, by its place among the launcher's children."""
        for pid in self.children(parent or self.process.pid):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if file.read().rstrip(b"\0").endswith(b"\0%d" % role):
                        return pid
            except OSError:
                pass
        return None

    def signal(self, role, number, parent=None):
        pid = self.process_of(role, parent)
        if pid:
            os.kill(pid, number)
        return pid

    def end(self):
        """Exit status; None: it had to be killed."""
        if self.process is None:
            return None
        try:
            if self.process.stdin:
                self.process.stdin.close()
        except BrokenPipeError:
            pass
        end = time.monotonic() + WAIT_S
        while self.reader is not None and time.monotonic() < end:
            if select.select([self.reader], [], [], 0.1)[0]:
                try:
                    piece = os.read(self.reader, 4096)
                except OSError:
                    break
                if not piece:
                    break
                self.output += piece
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def command(self, *words):
        """Whether another command of the operator's succeeds."""
        return subprocess.run([COFFERDAM, "--host", self.host, *words], check=False, timeout=WAIT_S,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def violations(self):
        """(process, system call) of each violation in the log; the auditor's own is the launcher's last word."""
        found = []
        for path in glob.glob(os.path.join(self.folder, "log", "*.jsonl")):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    record = json.loads(line) if line.endswith("\n") else {}
                    if record.get("metadata", {}).get("event_code") == "violation":
                        details = record["unmapped"]["cofferdam"]["details"]
                        found.append((details["process"], details.get("reported_call")))
        for name in NAMES.values():  # the auditor's cannot be in its log, nor can any before the VM's start
            if f"{name} made a forbidden system call".encode() in self.output:
                found.append((name, None))
        return found

    def remove(self):
        if self.host_side:
            self.host_side.end()
        if self.process and self.process.stdout:
            self.process.stdout.close()
        good, said = are_events(self.folder)
        if not good and " 0 wrong" not in said:  # a trial may end before its log begins
            no_events.append(said)
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_until(condition, seconds=None):
    end = time.monotonic() + (seconds or WAIT_S)
    while not condition() and time.monotonic() < end:
        select.select([], [], [], 0.01)
    return condition()


def has_ended(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


# ---- trials: each returns whether all went as it should ----

def work(run):
    run.host_side = vsock.Host(run.folder)
    initrd = run.write("initrd", "not looked at by the built-in guest\n")
    run.start("echo list memory disk entropy balloon vsock smp reset-devices=30 break end=button "
              f"network ip=10.7.{run.number}.7 peer=10.7.{run.number}.1 ping",
              f"initrd: {{path: {os.path.basename(initrd)}}}\n")
    if not run.read_until(b"echo until"):
        return run.end() == 0
    run.type(b"typed\x04")
    good = run.read_until(b"power button") and b"typed" in run.output
    limits = ("disks[scratch].limits.operations=1000/s", "disks[kept].limits.operations=1000/s", "limits.console=1MiB",
              "entropy.limits.bandwidth=512KiB/s", "networks[eth0].limits.packets=1000/s", "vsock.limits.connections=9",
              "machine.memory=48MiB")
    for words in (*(["set", run.name, limit] for limit in limits), ["ps"], ["stats", run.name], ["inspect", run.name], ["pause", run.name], ["resume", run.name], ["audit", "rotate", run.name], ["stop", run.name]) if good else ():
        good = run.command(*words) and good
    return run.end() == 0 and good


def work_by_passt(run):
    run.start(f"bench=send:{PASST_FRAMES} network ip=10.7.{run.number}.7 peer={network.OUTER} udp=7")
    return run.end() == 0 and b"UDP port 7 answered" in run.output


def bad_kernel(run):
    run.write("garbage", "no kernel at all" * 1000)
    run.start(kernel="{path: garbage}")
    return run.end() == 125 and b"neither a bzImage" in run.output


def silent_device(run):
    run.start("echo disk")
    good = run.read_until(b"echo until")
    run.signal(DISK, signal.SIGSTOP)
    run.signal(SUPERVISOR, signal.SIGSTOP)  # or it would end the VM before the monitor ends itself
    monitor = run.process_of(MONITOR)
    run.type(b"\x04")
    good = wait_until(lambda: has_ended(monitor), ANSWER_S + WAIT_S) and good
    run.signal(SUPERVISOR, signal.SIGCONT)
    return run.end() == 125 and good and b"did not answer" in run.output


def orphan_devices(run):
    run.start("list end=button")
    if not run.read_until(b"power button"):
        return run.end() == 0
    devices = [run.process_of(role) for role in (CONSOLE, DISK, KEPT, NETWORK, ENTROPY, BALLOON, VSOCK)]
    run.signal(SUPERVISOR, signal.SIGSTOP)
    run.signal(MONITOR, signal.SIGKILL)
    good = wait_until(lambda: all(has_ended(pid) for pid in devices))
    run.signal(SUPERVISOR, signal.SIGCONT)
    return run.end() == 125 and good


def orphan_terminal(run):
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    run.start("list end=button", terminal=slave)
    run.reader = master
    good = run.read_until(b"power button")
    launcher = next(iter(run.children(run.process.pid)), None)
    if launcher:
        os.kill(launcher, signal.SIGKILL)
    good = wait_until(lambda: termios.tcgetattr(slave) == before) and good
    run.reader = None
    run.end()
    run.command("ps")  # removes what the launcher could not
    os.close(master)
    os.close(slave)
    return good


def all_rules(by_passt):
    """role, thread, call, condition, whether there is a passt: of each rule of a VM that has everything, with a tap; then,
    where there can be a passt, of those that a VM has because of that."""
    seen = set()
    for with_passt in (False, True) if by_passt else (False,):
        for rule in rules_of(with_passt):
            if rule not in seen:
                seen.add(rule)
                yield *rule, with_passt


def rules_of(with_passt):
    run = Run(None, with_passt=with_passt)
    policy = run.prepare()
    text = subprocess.run([COFFERDAM, "--host", run.host, "plan", "--json", policy], check=True, timeout=WAIT_S,
                          stdout=subprocess.PIPE).stdout
    run.remove()
    for process in json.loads(text)["processes"]:
        for thread in process["threads"]:
            for rule in thread["rules"]:
                yield process["id"], thread["thread"], rule["call"], rule["condition"]


def trial_of(role, thread, call, condition, with_passt):
    if with_passt:
        return work_by_passt
    for entry in ELSEWHERE:
        if entry[:3] == (role, thread, call) and condition.startswith(entry[3]):
            return globals()[entry[4]]
    return work


def is_needed(rule):
    """None, or what was seen instead of the violation. A process that ends by itself may be killed by the end of its
    VM a moment earlier, so there are a few tries: one violation proves the need."""
    for _ in range(TRIES):
        problem = try_without(rule)
        if problem is None:
            break
    return problem


def try_without(rule):
    role, thread, call, condition, with_passt = rule
    name = f"{role} {thread} {call} {condition}"
    run = Run(trial_of(*rule), name, with_passt)
    try:
        good = run.trial(run)
        found = run.violations()
        if any(process == NAMES[role] and reported in (call, None) for process, reported in found):
            return None
        if role == SUPERVISOR and run.trial is orphan_terminal:
            return None if not good else "the terminal was put right all the same"
        return f"{'all went well' if good else 'something else failed'} {found} {run.output[-300:]!r}"
    finally:
        run.remove()


def make_way_out():
    """For passt, with somebody who answers at its end. False: there can be none."""
    if not os.path.exists("/usr/bin/passt"):
        return False
    network.interface("lo", network.SIOCSIFFLAGS, network.IFF_UP)
    network.make_tap("cfp9")
    for words in (f"addr add {network.OUTER}/24 dev cfp9", "link set cfp9 up", "route add default via 10.9.0.2"):
        subprocess.run(["ip", *words.split()], check=True)
    network.Echo(7)
    return True


def main():
    global WAIT_S
    if not os.access("/dev/kvm", os.W_OK) or os.geteuid() != 0:
        print("  skipped: needs a usable /dev/kvm and root\n0 passed, 0 failed, 1 skipped")
        return 0
    if libc.unshare(CLONE_NEWNET) != 0:
        print("  FAILED: no network namespace of its own\n0 passed, 1 failed, 0 skipped")
        return 1
    passed = failed = skipped = 0
    WAIT_S = WAIT_S if vdso_has_the_clock() else SLOW_WAIT_S
    by_passt = make_way_out()
    if not by_passt:
        skipped += 1
        print("  skipped: passt's rules: there is no passt here")
    rules = [rule for rule in all_rules(by_passt) if len(sys.argv) < 2 or sys.argv[1] in " ".join(map(str, rule))]
    tried = [rule for rule in rules if not_tried(rule[2]) is None]
    for trial in dict.fromkeys(trial_of(*rule) for rule in tried):
        run = Run(trial, with_passt=trial is work_by_passt)
        if trial(run) and not run.violations():
            passed += 1
        else:
            failed += 1
            print(f"  FAILED: {trial.__name__} with every rule: {run.violations()} {run.output[-500:]!r}")
        run.remove()
    for reason in sorted({not_tried(rule[2]) for rule in rules} - {None}):
        skipped += 1
        print(f"  skipped: {reason}")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for rule, problem in zip(tried, pool.map(is_needed, tried)):
            if problem is None:
                passed += 1
            else:
                failed += 1
                print(f"  FAILED: not needed: {NAMES[rule[0]]}, {rule[1]}: {rule[2]} {rule[3]}\n    {problem}")
    failed += len(no_events)
    for said in no_events[:3]:
        print(f"  FAILED: every line of the logs is an event of OCSF: {said}")
    print(f"{len(tried)} rules tried: {passed} passed, {failed} failed, {skipped} skipped")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
