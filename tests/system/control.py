#!/usr/bin/env python3
"""Roles on the control socket: who a caller is, is what the kernel says of his uid and all his groups; each role may ask
what the table says and nothing else; each request is in the log, granted or refused. Real VMs, callers of real uids.
Needs B (build folder), a usable /dev/kvm and root. Every wait is bounded."""
import fcntl
import glob
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

from events import are_events

BUILD = os.path.abspath(os.environ.get("B", "build"))
COFFERDAM = os.path.join(BUILD, "cofferdam")
WAIT_S = 20
counts = {"passed": 0, "failed": 0, "skipped": 0}

# Ids that nobody has.
VIEWER, OPERATOR, AUDITOR, NOBODY = 54331, 54332, 54333, 54334
VIEWERS, OPERATORS, AUDITORS, OTHERS = 54341, 54342, 54343, 54344
CONTROL = (f'control: {{grace: 2s, viewers: [{VIEWER}, "group:{VIEWERS}"], operators: [{OPERATOR}, "group:{OPERATORS}"], '
           f'auditors: [{AUDITOR}, "group:{AUDITORS}"]}}\n')

# uid, gid, further groups; what that is
CALLERS = {
    "root": ((0, 0, []), "owner"),
    "a viewer by uid": ((VIEWER, OTHERS, []), "viewer"),
    "a viewer by group": ((NOBODY, VIEWERS, []), "viewer"),
    "a viewer by a further group": ((NOBODY, OTHERS, [OTHERS, VIEWERS]), "viewer"),
    "an operator by uid": ((OPERATOR, OTHERS, []), "operator"),
    "an operator by group": ((NOBODY, OPERATORS, []), "operator"),
    "an operator by the last of many groups": ((NOBODY, OTHERS, list(range(60000, 60500)) + [OPERATORS]), "operator"),
    "an auditor by uid": ((AUDITOR, OTHERS, []), "auditor"),
    "an auditor by a further group": ((NOBODY, OTHERS, [AUDITORS]), "auditor"),
    "a viewer who audits": ((VIEWER, OTHERS, [AUDITORS]), "viewer auditor"),
    "both operator and auditor": ((OPERATOR, OTHERS, [AUDITORS]), "both"),
    "a stranger": ((NOBODY, OTHERS, [OTHERS]), "stranger"),
    "a uid that is a group's number": ((VIEWERS, OTHERS, []), "stranger"),
    "a group that is a uid's number": ((NOBODY, OPERATOR, [VIEWER, AUDITOR]), "stranger"),
}
# Each request, who may, and whether the VM ends by it.
REQUESTS = {
    "ps": ("owner operator viewer", False),
    "inspect": ("owner operator viewer", False),
    "stats": ("owner operator viewer", False),
    "drift": ("owner operator viewer", False),
    "log": ("owner auditor", False),
    "rotate": ("owner auditor", False),
    "console_log": ("owner operator", False),
    "console": ("owner operator", False),
    "start": ("owner operator", False),
    "set": ("owner operator", False),
    "pause": ("owner operator", False),
    "resume": ("owner operator", False),
    "stop": ("owner operator", True),
    "kill": ("owner operator", True),
}
MORE = {"set": {"cap": "tasks", "value": 40}} # what a request has to carry; `wait`: many_wait


def check(name, good, detail=""):
    counts["passed" if good else "failed"] += 1
    if not good:
        print(f"  FAILED: {name} {detail}")
    return good


def is_there(pid):
    """Not ended: a zombie has."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=WAIT_S):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        select.select([], [], [], 0.01)
    return condition()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o600)
    return path


def cofferdam(place, *words, **more):
    return subprocess.run([COFFERDAM, "--host", f"{place}/host.yaml", *words], stdin=subprocess.DEVNULL, timeout=60,
                          check=False, **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **more})


class Machine:
    """One VM, whose guest waits for its power button."""

    def __init__(self, place, name, control=CONTROL):
        self.place, self.name = place, name
        if os.path.exists(f"{place}/{name}.console"):
            os.unlink(f"{place}/{name}.console")
        self.policy = write(f"{place}/{name}.yaml", f'cofferdam: 1\nname: {name}\nkernel: builtin\n'
                            f'cmdline: "list end=button"\nmachine: {{vcpus: 1, memory: 64MiB}}\n{control}')
        self.output = open(f"{place}/{name}.out", "w+b")
        self.process = subprocess.Popen([COFFERDAM, "--host", f"{place}/host.yaml", "run", self.policy],
                                        stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT)
        if not wait_until(lambda: b"power button" in self.said()):
            print(f"  FAILED: {name} does not start: {self.said()!r}")
            sys.exit(1)

    def said(self):
        said = os.pread(self.output.fileno(), 1 << 20, 0)
        if os.path.exists(f"{self.place}/{self.name}.console"):
            with open(f"{self.place}/{self.name}.console", "rb") as file:
                said += file.read()
        return said

    def runs(self):
        return self.process.poll() is None

    def end(self):
        self.process.terminate()
        status = self.process.wait(WAIT_S)
        self.output.close()
        return status

    def records(self):
        """operation, granted, uid, pid of every request in the log"""
        found = []
        for path in glob.glob(f"{self.place}/log/{self.name}-*.jsonl"):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    record = json.loads(line)
                    code = record["metadata"]["event_code"]
                    if code in ("control_granted", "control_denied"):
                        details = record["unmapped"]["cofferdam"]["details"]
                        found.append((details["operation"], code == "control_granted", details["uid"], details["pid"],
                                      "login_uid" in details))
        return found


def ask_as(who, path, line):
    """What a process of these ids hears, and its pid. It is a process of its own: its ids cannot be taken back."""
    uid, gid, groups = who
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(WAIT_S)
                connection.connect(path)
                try:
                    connection.sendall(line.encode())
                except BrokenPipeError:
                    pass
                answer = b""
                while not answer.endswith(b"\n"):
                    piece, descriptors, _, _ = socket.recv_fds(connection, 65536, 4)
                    if not piece:
                        break
                    answer += piece
                    if descriptors:
                        answer = answer.rstrip() + b" " + os.pread(descriptors[0], 40, 0) + b"\n"
            os.write(writing, answer)
        except BaseException as error:  # pylint: disable=broad-except
            os.write(writing, f"{error}".encode())
        os._exit(0)
    os.close(writing)
    answer = b""
    while piece := os.read(reading, 65536):
        answer += piece
    os.close(reading)
    os.waitpid(child, 0)
    return answer.decode(), child


def may(role, request):
    return any(word in REQUESTS[request][0].split() for word in role.split())


def role_matrix(place):
    machine = None
    for name, (ids, role) in CALLERS.items():
        if role == "stranger" and machine is not None and machine.runs():
            machine.end()  # records of those who are not heard are counted together after a few
        for request, (_, ends) in list(REQUESTS.items())[-8 if role == "stranger" else 0:]:
            if machine is None or not machine.runs():
                machine = Machine(place, "matrix", CONTROL + "console: {log: matrix.console}\n")
            if request == "start" and state_of(place, "matrix-held") != "held":
                cofferdam(place, "kill", "matrix-held")
                held = Detached(place, "matrix-held", "cmdline: list end=button\n" + CONTROL, "--hold")
            of = held if request == "start" else machine
            answer, pid = ask_as(ids, f"{place}/run/{of.name}.sock", json.dumps({"request": request} | MORE.get(request, {})) + "\n")
            granted = '"ok":true' in answer
            check(f"{name}: {request}", granted == may(role, request), answer)
            if not granted:
                why = {"stranger": "no role", "both": "both operator and auditor"}.get(role, "does not allow")
                check(f"{name}: {request}: why", why in answer, answer)
            elif request in ("log", "console_log", "console"):
                check(f"{name}: {request} is the file", {"log": '{"metadata"', "console_log": "hello from", "console": "hello from"}[request] in answer,
                      answer)
            elif request == "start":
                check(f"start by {name} lets it run", wait_until(lambda: b"power button" in of.said()), of.said())
            elif ends:
                check(f"{request} by {name} ends it", wait_until(lambda: not machine.runs()))
                machine.end()
            recorded = [("connect" if role == "stranger" else request, granted, ids[0], pid, True)]
            check(f"{name}: {request} is recorded", wait_until(lambda: recorded[0] in of.records(), 5),
                  of.records()[-1:])
    cofferdam(place, "kill", "matrix-held")
    if machine.runs():
        machine.end()


def commands_of_others(place):
    """The commands as others than root use them: by name, across the folder that root's VMs are in."""
    machine = Machine(place, "shared")
    viewer = {"user": VIEWER, "group": OTHERS, "extra_groups": []}
    shown = cofferdam(place, "ps", **viewer)
    check("ps of a viewer", shown.returncode == 0 and b"shared" in shown.stdout, shown.stdout)
    shown = cofferdam(place, "stop", "shared", **viewer)
    check("stop of a viewer", shown.returncode == 1 and b"refused: your role in this VM does not allow" in shown.stdout,
          shown.stdout)
    stranger = {"user": NOBODY, "group": OTHERS, "extra_groups": []}
    shown = cofferdam(place, "ps", **stranger)
    check("ps of a stranger", shown.returncode == 0 and b"shared" not in shown.stdout, shown.stdout)
    shown = cofferdam(place, "inspect", "shared", **stranger)
    check("inspect of a stranger", shown.returncode == 1 and b"you have no role in this VM" in shown.stdout,
          shown.stdout)
    # Where no host file says where the sockets are, an ordinary user has a folder of his own, and finds root's as well.
    write(f"{place}/plain.yaml", f'cofferdam: 1\nfolders: {{audit: "{place}/log"}}\n')
    os.chmod(f"{place}/plain.yaml", 0o644)
    policy = write(f"{place}/of-root.yaml", f"cofferdam: 1\nname: of-root-{os.getpid()}\nkernel: builtin\n"
                   f'cmdline: "list end=button"\n{CONTROL}')
    plain = [COFFERDAM, "--host", f"{place}/plain.yaml"]
    subprocess.run([*plain, "run", "--detach", policy], check=True, timeout=60, stdin=subprocess.DEVNULL)
    for who, seen in ((VIEWER, True), (NOBODY, False)):
        shown = subprocess.run([*plain, "ps"], env={"XDG_RUNTIME_DIR": f"{place}/none"}, timeout=60, check=False,
                               stdout=subprocess.PIPE, user=who, group=OTHERS, extra_groups=[])
        check("root's VMs are found", shown.returncode == 0 and (b"of-root-" in shown.stdout) == seen, shown.stdout)
    shown = subprocess.run([*plain, "inspect", f"of-root-{os.getpid()}"], env={"XDG_RUNTIME_DIR": f"{place}/none"},
                           timeout=60, check=False, stdout=subprocess.PIPE, user=VIEWER, group=OTHERS, extra_groups=[])
    check("and asked by name", b"of-root-" in shown.stdout, shown.stdout)
    subprocess.run([*plain, "kill", f"of-root-{os.getpid()}"], check=True, timeout=60)
    shown = cofferdam(place, "kill", "shared", user=NOBODY, group=OTHERS, extra_groups=[OTHERS, OPERATORS])
    check("kill of an operator", shown.returncode == 0 and wait_until(lambda: not machine.runs()), shown.stdout)
    machine.end()


def by_name(place):
    """stats, logs, wait and inspect of a VM, by those who may, and after its end."""
    machine = Machine(place, "named", CONTROL + "console: {log: named.console}\ndisks: [{name: data, scratch: 1MiB}]\n")
    viewer, operator, auditor = ({"user": uid, "group": OTHERS, "extra_groups": []} for uid in (VIEWER, OPERATOR, AUDITOR))
    shown = cofferdam(place, "stats", "--json", "named", **viewer)
    facts = json.loads(shown.stdout) if shown.returncode == 0 else {}
    devices = {device["name"]: device for device in facts.get("devices", [])}
    written = os.path.getsize(f"{place}/named.console")
    check("stats say the state", facts.get("state") == "running" and facts.get("uptime_ms", 0) > 0, shown.stdout)
    check("stats of the console are what it wrote", devices.get("console", {}).get("moved_bytes") == written,
          (devices, written))
    check("stats of a disk nobody used", devices.get("data", {}).get("requests") == 0, devices)
    check("tasks are counted", facts.get("tasks", 8) >= 8, facts)
    shown = cofferdam(place, "stats", "named", **viewer)
    check("stats for people", shown.returncode == 0 and b"named, running for " in shown.stdout and b"console" in
          shown.stdout, shown.stdout)
    follower = subprocess.Popen([COFFERDAM, "--host", f"{place}/host.yaml", "stats", "--follow", "--json", "named"],
                                stdout=subprocess.PIPE, **viewer)
    check("stats --follow begins", b'"running"' in follower.stdout.readline())
    shown = cofferdam(place, "logs", "named", **operator)
    check("logs of an operator", shown.returncode == 0 and b"waiting for the power button" in shown.stdout, shown.stdout)
    shown = cofferdam(place, "logs", "named", **auditor)
    check("no console for an auditor", shown.returncode == 1 and b"does not allow" in shown.stdout, shown.stdout)
    shown = cofferdam(place, "logs", "--audit", "named", **operator)
    check("no audit log for an operator", shown.returncode == 1 and b"does not allow" in shown.stdout, shown.stdout)
    shown = cofferdam(place, "logs", "--audit", "named", **auditor)
    check("the audit log for an auditor", shown.returncode == 0 and b"vm_running" in shown.stdout, shown.stdout)
    shown = cofferdam(place, "logs", "--audit", "--raw", "named", stderr=subprocess.DEVNULL, **auditor)
    copy = write(f"{place}/copy.jsonl", shown.stdout.decode())
    os.chmod(copy, 0o644)
    shown = cofferdam(place, "audit", "verify", copy, **auditor)
    check("an auditor verifies the copy", shown.returncode in (11, 12), shown.stdout)
    shown = cofferdam(place, "audit", "forward", copy, **auditor)
    check("and forwards it", shown.returncode == 0 and shown.stdout.count(b'"vm_running"') == 1, shown.stdout)
    for who, text in ((viewer, b"does not allow"), (operator, b"does not allow"), (auditor, b"")):
        shown = cofferdam(place, "audit", "rotate", "named", **who)
        check("an auditor rotates, nobody else does", (shown.returncode, text in shown.stdout) == (1 if text else 0, True),
              shown.stdout)
    check("it is rotated", wait_until(lambda: glob.glob(f"{place}/log/named-*.2.jsonl")), os.listdir(f"{place}/log"))
    def whole():
        shown = cofferdam(place, "logs", "--audit", "--raw", "named", stderr=subprocess.DEVNULL, **auditor)
        write(copy, shown.stdout.decode())
        os.chmod(copy, 0o644)
        return b'"log_continued"' in shown.stdout
    check("an auditor has every segment", wait_until(whole))
    shown = cofferdam(place, "audit", "verify", copy, **auditor)
    check("which are one log", shown.returncode in (11, 12, 13), shown.stdout)  # its last line was being written
    for segment in ("0", "3", "10000", '"1"'):
        answer, _ = ask_as((AUDITOR, OTHERS, []), f"{place}/run/named.sock", f'{{"request":"log","segment":{segment}}}\n')
        check(f"no segment {segment}", '"ok":false' in answer and "segment" in answer, answer)
    for words in (["rotate"], ["settle"], ["keygen"]):
        shown = cofferdam(place, "audit", *words, **auditor)
        check(f"the host's log is not an auditor's to {words[0]}", shown.returncode == 125, shown.stdout)
    check("no drift", re.search(rb"drift +none\n", cofferdam(place, "inspect", "named", **viewer).stdout))
    with open(machine.policy, "a", encoding="utf-8") as file:
        file.write("# changed\n")
    check("drift", re.search(rb"drift +the policy's files have changed", cofferdam(place, "inspect", "named").stdout))
    os.unlink(machine.policy)
    check("a policy that is gone", re.search(rb"drift +unknown", cofferdam(place, "inspect", "named").stdout))
    waiters = [subprocess.Popen([COFFERDAM, "--host", f"{place}/host.yaml", "wait", "named"], stderr=subprocess.PIPE,
                                **viewer) for _ in range(2)]
    check("they wait", wait_until(lambda: sum(r[0] == "wait" for r in machine.records()) == 2))
    cofferdam(place, "kill", "named", **operator)
    for waiter in waiters:
        said = waiter.communicate(timeout=WAIT_S)[1]
        check("wait exits as run does", waiter.returncode == 121 and b"by force" in said, (waiter.returncode, said))
    check("stats --follow ends with it", follower.wait(WAIT_S) == 0)
    follower.stdout.close()
    machine.end()
    shown = cofferdam(place, "logs", "--audit", "named")
    check("the log of one that ended", shown.returncode == 0 and b"log_opened" in shown.stdout and b"log_closed" in shown.stdout, shown.stdout)
    with open(f"{place}/log/host.jsonl", encoding="utf-8") as file:
        readings = [json.loads(line)["message"] for line in file if '"event_code":"log_read"' in line]
    check("and the host's log has who read it", [re.sub("-.*[.]", ".", reading, count=1) for reading in readings if reading.startswith("named-")] ==
          ["named.jsonl read by `audit show`"], readings)
    shown = cofferdam(place, "logs", "--audit", "name")
    check("not of another of nearly that name", shown.returncode == 1 and b"has no log of one" in shown.stdout, shown.stdout)
    shown = cofferdam(place, "wait", "named")
    check("wait for none", shown.returncode == 125 and b"no VM named 'named' runs" in shown.stdout, shown.stdout)


def many_wait(place):
    """More than can wait are told so; who leaves makes room."""
    machine = Machine(place, "many")
    path, line = f"{place}/run/many.sock", b'{"request":"wait"}\n'

    def wait_as_root():
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(WAIT_S)
        connection.connect(path)
        connection.sendall(line)
        return connection

    waiting = []
    for number in range(16):
        waiting.append(wait_as_root())
        wait_until(lambda number=number: sum(r[0] == "wait" for r in machine.records()) > number)
    late = wait_as_root()
    check("the seventeenth is told", b"too many wait" in late.recv(4096))
    for connection in waiting[:8]:
        connection.close()
    waiting.append(wait_as_root())
    machine.process.terminate()
    for connection in waiting[8:]:
        story = json.loads(connection.makefile().readline())
        check("each hears the end", story["ok"] and story["status"] == 0 and story["outcome"] == "power-off", story)
        connection.close()
    late.close()
    machine.end()
    machine = Machine(place, "lost")
    waiter = subprocess.Popen([COFFERDAM, "--host", f"{place}/host.yaml", "wait", "lost"], stderr=subprocess.PIPE)
    check("it waits", wait_until(lambda: any(r[0] == "wait" for r in machine.records())))
    machine.process.kill()
    said = waiter.communicate(timeout=WAIT_S)[1]
    check("a lost launcher is no end", waiter.returncode == 125 and b"ended before it answered" in said, said)
    machine.end()


class Detached(Machine):
    """One that was started with --detach; `process` is who waited for the start."""

    def __init__(self, place, name, extra="", *options, vcpus=1, **more):  # pylint: disable=super-init-not-called
        self.place, self.name = place, name
        self.policy = write(f"{place}/{name}.yaml", f"cofferdam: 1\nname: {name}\nkernel: builtin\n"
                            f"machine: {{vcpus: {vcpus}, memory: 64MiB}}\n{extra}")
        self.started = cofferdam(place, "run", "--detach", *options, self.policy, **more)
        self.started.stdout = b"".join(line for line in (self.started.stdout or b"").splitlines(True)
                                       if b"file system of the logs" not in line)
        shown = json.loads(cofferdam(place, "ps", "--json").stdout)
        self.facts = {vm["name"]: vm for vm in shown}.get(name, {})

    def said(self):
        return b"".join(open(path, "rb").read() for path in glob.glob(f"{self.place}/log/{self.name}-*.console"))


def detached(place):
    """run --detach returns when the guest runs, or with the error; what goes on holds nothing of its caller's."""
    kept, _ = os.pipe()
    os.set_inheritable(kept, True)
    machine = Detached(place, "apart", "cmdline: list end=button\n" + CONTROL, pass_fds=[kept])
    check("it returns", machine.started.returncode == 0 and machine.started.stdout == b"", machine.started)
    check("it runs then", machine.facts.get("state") == "running", machine.facts)
    pid = machine.facts.get("pid", 0)
    links = {number: os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    check("its first three are null", all(links[n] == "/dev/null" for n in "012"), links)
    check("nothing is inherited", os.readlink(f"/proc/self/fd/{kept}") not in links.values(), links)
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        stat = file.read().rsplit(")", 1)[1].split()
    check("a session of its own, no terminal", stat[3] == str(pid) and stat[4] == "0", stat)
    check("the root folder", os.readlink(f"/proc/{pid}/cwd") == "/")
    check("its console is kept", wait_until(lambda: b"power button" in machine.said()), machine.said())
    with open(glob.glob(f"{place}/log/apart-*.jsonl")[0], encoding="utf-8") as file:
        opened = [json.loads(line)["message"] for line in file if '"resource_opened"' in line]
    console = glob.glob(f"{place}/log/apart-*.console")
    check("the log has where", [f"console opened: {path}" for path in console] == [line for line in opened if "console" in line], opened)
    check("logs show it", b"power button" in cofferdam(place, "logs", "apart", user=OPERATOR, group=OTHERS,
                                                       extra_groups=[]).stdout)
    waiter = subprocess.Popen([COFFERDAM, "--host", f"{place}/host.yaml", "wait", "apart"], stderr=subprocess.PIPE)
    wait_until(lambda: any(record[0] == "wait" for record in machine.records()))
    check("stop", cofferdam(place, "stop", "apart").returncode == 0)
    check("wait says how", waiter.wait(WAIT_S) == 0)
    check("nothing is left", wait_until(lambda: not glob.glob(f"{place}/run/apart.*") and not is_there(pid)))
    check("logs of the one that ended", b"power button (event 1)" in cofferdam(place, "logs", "apart").stdout)
    for what, extra, why in (("a mistake", "machien: 1\n", b"machien"), ("no kernel", "", b"neither a bzImage")):
        write(f"{place}/garbage", "no kernel at all" * 1000)
        path = write(f"{place}/bad.yaml", f"cofferdam: 1\nname: bad\nkernel: {{path: garbage}}\n{extra}")
        shown = cofferdam(place, "run", "--detach", path)
        check(f"{what} is told", shown.returncode == 125 and why in shown.stdout, shown)
        check(f"{what}: nothing is left", not glob.glob(f"{place}/run/bad.*"))
    with open(f"{place}/status", "wb") as status:
        machine = Detached(place, "told", "cmdline: list end=button\n", "--status-fd", "1", stdout=status)
    cofferdam(place, "kill", "told")
    with open(f"{place}/status", encoding="utf-8") as status:
        stages = [json.loads(line)["stage"] for line in status if line.startswith("{")]
    check("--status-fd tells both", stages == ["running", "ended"], stages)
    os.close(kept)


def launcher_of(pid):
    """The child that has made a session of its own."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return next((int(child) for child in file.read().split() if os.getsid(int(child)) == int(child)), None)
    except OSError:
        return None


def lost_callers(place):
    """A caller who ends before the guest runs takes the start along."""
    for number, statuses in ((9, (-9,)), (15, (0, 121, 125))):
        policy = write(f"{place}/lost-caller.yaml", "cofferdam: 1\nname: lost-caller\nkernel: builtin\n"
                       "cmdline: list end=button\n")
        caller = subprocess.Popen([COFFERDAM, "--host", f"{place}/host.yaml", "run", "--detach", policy],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        launcher = None
        while launcher is None and caller.poll() is None:
            launcher = launcher_of(caller.pid)
        if not check("a launcher", launcher is not None):
            continue
        os.kill(launcher, signal.SIGSTOP)
        early = caller.poll() is None
        os.kill(caller.pid, number)
        if number == 9:
            caller.wait(WAIT_S)
        os.kill(launcher, signal.SIGCONT)
        ended = caller.wait(WAIT_S)
        check(f"signal {number} ends the start", not early or ended in statuses, ended)
        check(f"signal {number}: the launcher ends", wait_until(lambda pid=launcher: not is_there(pid)))
        check(f"signal {number}: nothing is left", not glob.glob(f"{place}/run/lost-caller.*"))
        cofferdam(place, "kill", "lost-caller")


class Attached:
    """`cofferdam console` on a terminal."""

    def __init__(self, place, name):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen([COFFERDAM, "--host", f"{place}/host.yaml", "console", name], stdin=self.slave,
                                        stdout=self.slave, stderr=self.slave, start_new_session=True)
        self.output = b""

    def read_until(self, text):
        end = time.monotonic() + WAIT_S
        while text not in self.output and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                self.output += os.read(self.master, 4096)
        return text in self.output

    def type(self, text):
        os.write(self.master, text)

    def ends(self):
        """As it should, with the terminal as it was."""
        good = self.process.wait(WAIT_S) == 0 and termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return good


def consoles(place):
    """Attach, type, detach, attach again; what a guest may not send to a terminal does not get there."""
    machine = Detached(place, "spoken", 'cmdline: "esc echo list end=button"\nconsole: {input: stdin}\n' + CONTROL)
    first = Attached(place, "spoken")
    check("attached", first.read_until(b"Ctrl-A d detaches"), first.output)
    check("what was written before", first.read_until(b"echo until"), first.output)
    check("nothing but colours of a guest's escapes", b"\x1b]" not in first.output, first.output)
    check("raw", wait_until(lambda: termios.tcgetattr(first.slave)[3] & termios.ICANON == 0))
    first.type(b"from one")
    check("typed reaches the guest", first.read_until(b"from one"), first.output)
    second = Attached(place, "spoken")
    check("another sees it", second.read_until(b"from one"), second.output)
    second.type(b" and two")
    check("and the first what he types", first.read_until(b" and two"), first.output)
    first.type(b"\x01d")
    check("detached", first.read_until(b"which goes on") and first.ends(), first.output)
    second.type(b"\x04")
    check("the guest goes on", second.read_until(b"power button"), second.output)
    second.type(b"\x01x")
    check("its end is told", second.read_until(b"has ended") and second.ends(), second.output)
    check("it was the power button", wait_until(lambda: b"power button (event 1)" in machine.said()))
    machine = Machine(place, "fore", CONTROL)
    shown = cofferdam(place, "console", "fore")
    check("not one that has its terminal", shown.returncode == 1 and b"is where `cofferdam run` was started" in
          shown.stdout, shown.stdout)
    machine.end()


RUN, FUTEX = "16", "202"  # ioctl and futex, as /proc says what a thread is in


def vcpu_calls(launcher, vcpus):
    """What system calls the vCPUs' threads are in: the first after the main one, in the order of their birth."""
    monitor = next(pid for pid in children(launcher) if name_of(pid).startswith("cofferdam-moni"))
    calls = []
    for thread in sorted(map(int, os.listdir(f"/proc/{monitor}/task")))[1:1 + vcpus]:
        with open(f"/proc/{monitor}/task/{thread}/syscall", encoding="ascii") as file:
            calls.append(file.read().split()[0])
    return calls


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def name_of(pid):
    with open(f"/proc/{pid}/cmdline", encoding="ascii") as file:
        return file.read()


def state_of(place, name):
    shown = json.loads(cofferdam(place, "ps", "--json").stdout)
    return next((vm["state"] for vm in shown if vm["name"] == name), None)


def pauses(place):
    """`paused` is said when every vCPU's thread stands still, `running` when every one is in its guest."""
    machine = Detached(place, "still", "cmdline: smp echo list end=button\nconsole: {input: stdin}\n", vcpus=3)
    terminal = Attached(place, "still")
    check("it echoes", terminal.read_until(b"echo until"), terminal.output)
    pid = machine.facts["pid"]
    terminal.type(b"before ")
    check("it runs", terminal.read_until(b"before "), terminal.output)
    for number in range(10):
        check("pause", cofferdam(place, "pause", "still").returncode == 0)
        # The last one says so on its way to its rest.
        check("all vCPUs stand still", wait_until(lambda: vcpu_calls(pid, 3) == [FUTEX] * 3), vcpu_calls(pid, 3))
        check("paused is said", state_of(place, "still") == "paused")
        terminal.type(b"%d " % number)
        check("a second pause is refused", b"not running" in cofferdam(place, "pause", "still").stdout)
        check("the guest does not answer", b"%d " % number not in terminal.output)
        check("resume", cofferdam(place, "resume", "still").returncode == 0)
        check("running is said", state_of(place, "still") == "running")
        check("all vCPUs run", wait_until(lambda: vcpu_calls(pid, 3) == [RUN] * 3), vcpu_calls(pid, 3))
        check("what was typed meanwhile was kept", terminal.read_until(b"%d " % number), terminal.output)
    check("resume what runs", b"not paused" in cofferdam(place, "resume", "still").stdout)
    terminal.type(b"\x04")
    check("to the button", terminal.read_until(b"waiting for the power button"), terminal.output)
    cofferdam(place, "pause", "still")
    check("stop lets it go on", cofferdam(place, "stop", "still").returncode == 0)
    check("to power off", b"power button (event 1)" in machine.said())
    check("who is attached hears", terminal.read_until(b"has ended") and terminal.ends())
    log = open(glob.glob(f"{place}/log/still-*.jsonl")[0], encoding="utf-8").read()
    counts = [log.count(f'"event_code":"vm_{word}"') for word in ("paused", "resumed")]
    check("its log has each pause and each end of one", counts == [11, 11], counts)


def holds(place):
    """--hold: all is ready, and no vCPU has run before somebody asks for it; what ends it meanwhile ends it at once."""
    with open(f"{place}/status", "wb") as status:
        machine = Detached(place, "ready", "cmdline: smp list end=button\nlimits: {run_time: 30s}\n", "--hold",
                           "--status-fd", "1", vcpus=3, stdout=status)
    check("it returns", machine.started.returncode == 0, machine.started)
    check("held is said", machine.facts.get("state") == "held", machine.facts)
    # The others are where a processor waits for the first one's word.
    check("the first vCPU waits", vcpu_calls(machine.facts["pid"], 3)[0] == FUTEX, vcpu_calls(machine.facts["pid"], 3))
    check("its guest has said nothing", machine.said() == b"", machine.said())
    for command, why in (("pause", b"not running"), ("resume", b"not paused")):
        check(f"{command} of what is held", why in cofferdam(place, command, "ready").stdout)
    log = open(glob.glob(f"{place}/log/ready-*.jsonl")[0], encoding="utf-8")
    check("its log has no run yet", '"event_code":"vm_running"' not in log.read())
    check("start", cofferdam(place, "start", "ready").returncode == 0)
    check("running is said", state_of(place, "ready") == "running")
    check("the guest works", wait_until(lambda: b"power button" in machine.said()), machine.said())
    check("a second start is refused", b"has been started" in cofferdam(place, "start", "ready").stdout)
    check("stop", cofferdam(place, "stop", "ready").returncode == 0)
    check("its log has the run", '"event_code":"vm_running"' in log.read())
    with open(f"{place}/status", encoding="utf-8") as status:
        stages = [json.loads(line)["stage"] for line in status if line.startswith("{")]
    check("--status-fd tells all three", stages == ["held", "running", "ended"], stages)
    for words in (("stop", "unstopped"), ("kill", "unkilled")):  # each has a log of its own, in which to see the caller
        machine = Detached(place, words[1], "", "--hold")
        waiter = subprocess.Popen([COFFERDAM, "--host", f"{place}/host.yaml", "wait", words[1]], stderr=subprocess.PIPE)
        wait_until(lambda: any(record[0] == "wait" for record in machine.records()))
        check(f"{words[0]} of what is held", cofferdam(place, *words).returncode == 0)
        check("wait says why", waiter.wait(WAIT_S) == 121 and b"before its guest ran" in waiter.stderr.read())
        check("nothing is left", not glob.glob(f"{place}/run/{words[1]}.*"))
    path = write(f"{place}/shown.yaml", "cofferdam: 1\nname: shown\nkernel: builtin\n")
    shown = subprocess.Popen([COFFERDAM, "--host", f"{place}/host.yaml", "run", "--hold", path],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    line = shown.stdout.readline()
    while line and b"file system of the logs" in line:
        line = shown.stdout.readline()
    check("in the foreground it says how to go on", b"`cofferdam start shown` lets its guest run" in line, line)
    shown.send_signal(signal.SIGINT)
    said = shown.communicate(timeout=WAIT_S)[0]
    check("a signal ends it", shown.returncode == 121 and b"before its guest ran" in said, (shown.returncode, said))


def full_channel(place):
    """SIGTERM's word reaches a supervisor that is slow, however many others call."""
    machine = Machine(place, "busy")
    supervisor = next(pid for pid in children(machine.process.pid) if name_of(pid).startswith("cofferdam-supe"))

    def connect():
        connection = socket.socket(socket.AF_UNIX)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", WAIT_S, 0))
        connection.connect(f"{place}/run/busy.sock")
        return connection

    def call():
        """True: it was turned away, for there is no room for one more on the way to the supervisor."""
        with connect() as connection:
            connection.settimeout(0.5)
            try:
                return connection.recv(1) == b""
            except TimeoutError:
                return False

    os.kill(supervisor, signal.SIGSTOP)
    calls, connections = 0, []
    try:
        for calls in range(2000):
            connections.append(connect())
            if calls % 50 == 49 and call():
                break
        check("the channel is full", calls < 1999, calls)
        machine.process.terminate()
        check("callers are turned away still", call() and call() and call())  # the signal was looked at in between
    finally:
        os.kill(supervisor, signal.SIGCONT)
        for connection in connections:
            connection.close()
    check("the guest hears its power button", machine.process.wait(WAIT_S) == 0 and b"event 1" in machine.said(), machine.said())


def sockets(place):
    """Where nobody has a role, nobody but the owner and root can even connect."""
    machine = Machine(place, "closed", "")
    check("closed to others", os.stat(f"{place}/run/closed.sock").st_mode & 0o777 == 0o600)
    answer, _ = ask_as((VIEWER, VIEWERS, []), f"{place}/run/closed.sock", '{"request":"ps"}\n')
    check("no connection", "Permission denied" in answer, answer)
    machine.end()


def listen(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(WAIT_S)
    listener.bind(path)
    listener.listen()
    return listener


def beside(deed, *arguments):
    """Does it beside us; who joins it must not wait for ever."""
    thread = threading.Thread(target=deed, args=arguments, daemon=True)
    thread.start()
    return thread


def hang_up(listener, times):
    for _ in range(times):
        listener.accept()[0].close()
    listener.close()


def ends(place):
    """A VM that ends while it is listed is no failure, though its launcher is not done; stop waits for the VM that it
    told to end, not for the next of that name."""
    machine = Machine(place, "ending")

    def is_unlisted():
        shown = cofferdam(place, "ps")
        return shown.returncode == 0 and b"ending" not in shown.stdout

    with open(f"{place}/log/host.lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        machine.process.terminate()
        check("it is not listed any more", wait_until(is_unlisted))
        check("before the host's log has its end", machine.runs())
    machine.end()
    path = f"{place}/run/fake.sock"
    for times, status in ((1, 0), (3, 1)):
        thread = beside(hang_up, listen(path), times)
        shown = cofferdam(place, "ps")
        thread.join(WAIT_S)
        os.unlink(path)
        check(f"ps, when one hangs up: {times}", shown.returncode == status and
              (b"fake: the VM ended before it answered" in shown.stdout) == (status == 1), shown)
    listeners = [listen(path)]

    def end_and_begin_anew():
        caller = listeners[0].accept()[0]
        caller.recv(4096)
        caller.sendall(b'{"ok":true,"grace_ms":0}\n')
        os.unlink(path)
        listeners[0].close()
        listeners.append(listen(path))
        caller.close()

    thread = beside(end_and_begin_anew)
    shown = cofferdam(place, "stop", "fake")
    thread.join(WAIT_S)
    check("another of its name is not waited for", shown.returncode == 0 and len(listeners) == 2, shown)
    listeners[-1].close()
    os.unlink(path)


def policies(place):
    """Names that are nobody's, and one person who would be both."""
    head = "cofferdam: 1\nname: a\nkernel: builtin\n"
    for line, why in {
            'control: {viewers: [no-such-user-x]}': "4:21: error: `no-such-user-x`: this host has no such user",
            'control: {auditors: ["group:no-such-group-x"]}': "4:22: error: `group:no-such-group-x`: this host has no such",
            'control: {operators: [daemon], auditors: ["1"]}': "4:43: error: on this host `1` and the operator `daemon`",
            'control: {operators: [daemon], auditors: ["group:daemon"]}': "4:43: error: on this host `group:daemon`",
            'control: {operators: ["group:1"], auditors: [daemon]}': "4:46: error: on this host `daemon` and the",
            'control: {operators: ["group:daemon"], auditors: ["group:1"]}': "4:51: error: on this host `group:1`",
    }.items():
        path = write(f"{place}/policy.yaml", head + line + "\n")
        for command in ("run", "plan"):
            shown = cofferdam(place, command, path)
            check(f"{command} with {line}", shown.returncode == 125 and why in shown.stdout.decode(), shown.stdout)
    path = write(f"{place}/policy.yaml", head + "control: {operators: [daemon], auditors: [root]}\n")
    shown = cofferdam(place, "plan", path)
    check("two who are two", shown.returncode == 0, shown.stdout)


def main():
    if not os.access("/dev/kvm", os.W_OK) or os.geteuid() != 0:
        print("  skipped: needs a usable /dev/kvm and root\n0 passed, 0 failed, 1 skipped")
        return 0
    # In a mount namespace of its own, in which everybody can reach this checkout.
    if "COFFERDAM_APART" not in os.environ:
        here = os.path.dirname(os.path.abspath(__file__))
        os.execvpe("unshare", ["unshare", "--mount", "sh", "-c", '"$1/reachable" && exec "$2" "$3"', "sh", here,
                               sys.executable, os.path.abspath(__file__)], {**os.environ, "COFFERDAM_APART": "1"})
    with tempfile.TemporaryDirectory(prefix="cofferdam-test-") as place:
        os.chmod(place, 0o755)
        write(f"{place}/host.yaml", f'cofferdam: 1\nfolders:\n  runtime: "{place}/run"\n  audit: "{place}/log"\n')
        os.chmod(f"{place}/host.yaml", 0o644)
        for part in (role_matrix, commands_of_others, by_name, many_wait, detached, lost_callers, consoles, pauses, holds, full_channel, sockets, ends, policies):
            print(f"- {part.__name__.replace('_', ' ')}")
            part(place)
        check("every line of the logs is an event of OCSF", *are_events(place))
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
