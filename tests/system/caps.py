#!/usr/bin/env python3
"""Cap by cap: a VM, or who stands in for one of its processes, takes as much as it can, and what it got is within 5 % of what
the policy says (in a short run not more than that, and not much less); the log says that the cap was reached. Prints the
table. Needs root, a usable /dev/kvm and control groups
with cpu, cpuset, memory and pids; B: build folder; ROUNDS=full: longer, for steadier numbers. Every wait is bounded."""
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import network
import vsock
from events import are_events

COFFERDAM = os.path.join(os.path.abspath(os.environ.get("B", "build")), "cofferdam")
FULL = os.environ.get("ROUNDS") == "full"
TRIES = 3
SECONDS = 12 if FULL else 4
LEAST = 0.95 if FULL else 0.5 # of the cap must be reached: a start, and a busy machine, take their share of a short time
WAIT_S = 120
MIB = 1 << 20
table = []
counts = {"passed": 0, "failed": 0, "skipped": 0}


class Vm:
    """One VM with one cap, in a folder of its own."""

    def __init__(self, name, cmdline, limits, disks="[{name: scratch, scratch: 8MiB}]", console="", quiet="quiet "):
        self.devices = console
        self.place = tempfile.mkdtemp(prefix="cofferdam-test-")
        self.name = f"caps-{os.getpid()}-{name}"
        self.write("host.yaml", f"cofferdam: 1\nfolders: {{runtime: {self.place}/run, audit: {self.place}/log}}\n")
        self.write("vm.yaml", f"cofferdam: 1\nname: {self.name}\nkernel: builtin\nmachine: {{memory: 64MiB}}\n"
                   f'cmdline: "{quiet}{cmdline}"\ndisks: {disks}\nlimits: {limits}\ncontrol: {{grace: 0s}}\n{console}')
        self.process = None
        self.output = b""

    def write(self, name, text):
        with open(os.path.join(self.place, name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(file.name, 0o600)

    def start(self):
        self.process = subprocess.Popen([COFFERDAM, "--host", f"{self.place}/host.yaml", "run", f"{self.place}/vm.yaml"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.until(lambda: glob.glob(f"{self.place}/log/{self.name}-*.jsonl") and "vm_running" in self.codes())

    def until(self, condition):
        end = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > end or (self.process.poll() is not None and not condition()):
                raise TimeoutError(f"{self.name}: {self.process.poll()} {self.process.stdout.read()[-500:]}")
            try:
                self.process.wait(0.02)
            except subprocess.TimeoutExpired:
                pass

    def end(self):
        self.output = self.process.communicate(timeout=WAIT_S)[0]

    def run(self):
        self.start()
        self.end()
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.end()

    def records(self):
        with open(glob.glob(f"{self.place}/log/{self.name}-*.jsonl")[0], encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def codes(self):
        return [record["metadata"]["event_code"] for record in self.records()]

    def details(self, code):
        return [record["unmapped"]["cofferdam"]["details"] for record in self.records()
                if record["metadata"]["event_code"] == code]

    def used(self):
        return (self.details("vm_stopped") + self.details("vm_crashed"))[0]

    def children(self):
        """The VM's processes; those that write the host's log are the launcher's children too, and may be gone by now."""
        found = []
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            for pid in file.read().split():
                try:
                    with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                        found += [pid] if comm.read().startswith("cofferdam-") else []
                except OSError:
                    continue
        return found

    def cpu_s(self):
        ticks = 0
        for pid in self.children():
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                ticks += sum(int(field) for field in file.read().rsplit(")", 1)[1].split()[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def group(self, controller):
        status = os.stat(f"{self.place}/run")
        for tree in (controller, ".", "unified"):
            folder = f"/sys/fs/cgroup/{tree}/cofferdam/{self.name}.{status.st_dev:x}-{status.st_ino:x}"
            if os.path.exists(f"{folder}/cgroup.procs") and glob.glob(f"{folder}/{controller}.*"):
                return folder
        raise FileNotFoundError(controller)

    def within(self, controller, deed):
        """Runs `deed` in a process that is in the VM's group; its exit status."""
        pid = os.fork()
        if pid == 0:
            status = 100
            try:
                with open(f"{self.group(controller)}/cgroup.procs", "w", encoding="ascii") as file:
                    file.write(str(os.getpid()))
                status = deed()
            finally:
                os._exit(status)
        return os.waitpid(pid, 0)[1]

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        good, said = are_events(self.place)
        if not good:
            sys.exit(f"not every line of the logs is an event of OCSF: {said}")
        shutil.rmtree(self.place)


def row(vm, what, asked, reached, cap, unit="", event="cap_reached"):
    """One line of the table. `cap`: its word in the log, None: reaching it is no event."""
    said = list(dict.fromkeys(record["message"].split("was reached: ")[-1] for record in vm.records()
                              if record["metadata"]["event_code"] == event))
    timed = all(event["first_monotonic_ms"] <= event["last_monotonic_ms"] for event in vm.details("cap_reached") if "count" in event)
    good = timed and asked * LEAST <= reached <= asked * 1.05 and (cap is None or any(text.startswith(cap) for text in said))
    counts["passed" if good else "failed"] += 1
    table.append((what, f"{asked:g}{unit}", f"{reached:.4g}{unit}", "; ".join(said) or "-", "" if good else "  <== FAILED"))


def idle_s():
    """Of all processors, since boot."""
    with open("/proc/stat", encoding="ascii") as file:
        return int(file.readline().split()[4]) / os.sysconf("SC_CLK_TCK")


def cpu(vm):
    vm.start()
    for _ in range(TRIES):  # a busy host has less to give than the cap
        before, idle, start = vm.cpu_s(), idle_s(), time.monotonic()
        try:
            vm.process.wait(SECONDS)  # it works all the while
        except subprocess.TimeoutExpired:
            pass
        took = time.monotonic() - start
        reached, idle = 100 * (vm.cpu_s() - before) / took, 100 * (idle_s() - idle) / took
        if reached >= 40 * LEAST or idle > 40:
            break
    vm.stop()
    if reached < 40 * LEAST and idle <= 40:
        counts["skipped"] += 1
        print(f"  skipped: limits.cpu: this host is busy: the VM had {reached:.4g} %, and {idle:.4g} % were idle")
    else:
        row(vm, "limits.cpu", 40, reached, "cpu", " %")


def cpuset(vm):
    vm.start()
    lists = set()
    for pid in vm.children():
        for path in glob.glob(f"/proc/{pid}/task/*/status"):
            with open(path, encoding="ascii") as file:
                lists |= {line.split()[1] for line in file if line.startswith("Cpus_allowed_list")}
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as file: # where there is one processor, the threads' lists say nothing
            groups = [line.strip().split("::")[1] for line in file if line.startswith("0::")]
        for path in [f"/sys/fs/cgroup{group}/cpuset.cpus" for group in groups]:
            if os.path.exists(path):
                with open(path, encoding="ascii") as file:
                    lists |= {file.read().strip()}
    vm.stop()
    row(vm, "limits.cpuset", 1, len(lists) if lists == {"0"} else 99, None, " processor")


def greedy():
    try: # so that the kernel takes the VM
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("-1000")
    except OSError:
        pass
    kept = []
    signal.alarm(3) # before the launcher loses patience with the auditor, who has no memory left to write with
    while True:
        kept.append(bytearray(b"x" * MIB))


def memory(vm):
    vm.start()
    vm.within("memory", greedy)
    vm.stop()
    row(vm, "machine.memory + limits.memory_overhead", 80, vm.used()["memory_peak"] / MIB, "memory", " MiB")


def breed():
    for _ in range(64):
        try:
            if os.fork() == 0:
                signal.pause()
        except BlockingIOError:
            return 0
    return 1


def tasks(vm):
    vm.start()
    group = vm.group("pids")
    refused = vm.within("pids", breed) == 0
    with open(f"{group}/pids.current", encoding="ascii") as file:
        reached = int(file.read())
    with open(f"{group}/cgroup.procs", encoding="ascii") as file:
        strangers = set(file.read().split()) - set(vm.children())
    for pid in strangers:
        os.kill(int(pid), signal.SIGKILL)
    vm.stop()
    row(vm, "limits.tasks", 24, (reached + 1 if refused else 99), "tasks") # the one that is gone was the last


def rate(vm, what, asked, key, cap, unit, scale):
    vm.run()
    used = vm.used()
    reached = used[key] / scale / (used["ran_for_ms"] / 1000 + 0.1) # a tenth of a second's worth is there at once
    row(vm, what, asked, reached, cap, unit)


def growth(vm):
    image = f"{vm.place}/image.raw"
    os.truncate(os.open(image, os.O_CREAT | os.O_WRONLY, 0o600), 64 * MIB)
    vm.run()
    row(vm, "disks[].limits.growth", 4, os.stat(image).st_blocks * 512 / MIB, "growth of the image", " MiB")


def console(vm):
    vm.run()
    row(vm, "limits.console", 64, os.stat(f"{vm.place}/console.log").st_size / 1024, "console output", " KiB")


def log(vm):
    vm.start()
    full, end = False, time.monotonic() + WAIT_S
    while not full and time.monotonic() < end:
        caller = socket.socket(socket.AF_UNIX)
        caller.settimeout(30)
        caller.connect(f"{vm.place}/run/{vm.name}.sock")
        answer = b'"ok":true'
        while b'"ok":true' in answer:
            caller.sendall(b'{"request": "ps"}\n')
            answer = caller.recv(65536)
        full = b"limits.log" in answer
        caller.close()
    vm.stop()
    size = os.stat(glob.glob(f"{vm.place}/log/{vm.name}-*.jsonl")[0]).st_size
    row(vm, "limits.log", 1024, size / 1024 if full else 0, "size of the log", " KiB")


def most_open(pid):
    """One more than the highest number that is open, which is what RLIMIT_NOFILE bounds; and that limit."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        limit = [int(line.split()[4]) for line in file if line.startswith("Max open files")][0]
    return 1 + max(int(name) for name in os.listdir(f"/proc/{pid}/fd")), limit


def open_files(vm):
    """A descriptor comes from outside alone, with a control connection or one of vsock: no process has a system call that
    makes one (the prober tries). So callers are what may try; those beyond the cap are turned away, and that is in the log."""
    plan = json.loads(subprocess.run([COFFERDAM, "--host", f"{vm.place}/host.yaml", "explain", "--json", "limits.open_files",
                                      f"{vm.place}/vm.yaml"], capture_output=True, check=True, timeout=60).stdout)
    vm.start()
    callers, held = [], True
    for _ in range(CALLERS):
        callers.append(socket.socket(socket.AF_UNIX))
        callers[-1].settimeout(30)
        callers[-1].connect(f"{vm.place}/run/{vm.name}.sock")
        try:
            callers[-1].sendall(b'{"request": "ps"}\n')
        except BrokenPipeError:  # turned away already; it says why
            pass
        callers[-1].recv(65536)
    most = 0
    for pid in vm.children():
        numbers, limit = most_open(pid)
        held &= numbers <= limit <= int(plan[0]["value"])
        most = max(most, numbers)
    for caller in callers:
        caller.close()
    vm.stop()
    row(vm, "limits.open_files", int(plan[0]["value"]), most if held else 9999, "connect denied", event="control_denied")


class Frames(threading.Thread):
    """What leaves a VM's tap: of frames to UDP port 7 how many, their bytes, and when the first and the last came."""

    def __init__(self):
        super().__init__(daemon=True)
        self.count = self.bytes = self.first = self.last = 0
        self.observer = network.Observer()
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.is_set():
            network.select.select([self.observer.socket], [], [], 0.1)
            for frame, when in zip(self.observer.read(), self.observer.times):
                if frame[36:38] == b"\0\7":
                    self.first, self.last = self.first or when, when
                    self.count += 1
                    self.bytes += len(frame)

    def end(self):
        self.ended.set()
        self.join()
        return self.last - self.first + 0.1


def network_rate(vm, what, asked, cap, unit, of_frames):
    frames = Frames()
    vm.run()
    took = frames.end()
    row(vm, what, asked, of_frames(frames) / took, cap, unit)


def new_connections(vm):
    os.mkdir(f"{vm.place}/sockets", 0o700)
    taken = []

    class Host(vsock.Host):
        @staticmethod
        def echo(connection):
            taken.append(connection)
            vsock.Host.echo(connection)

    host = Host(f"{vm.place}/sockets")
    vm.run()
    host.end()
    row(vm, "vsock.limits.new_connections", 50, len(taken) / (vm.used()["ran_for_ms"] / 1000 + 0.1), "operations", " /s")


def vsock_bandwidth(vm):
    """By what comes out at the host's port: bytes of data, the first of them to the last."""
    os.mkdir(f"{vm.place}/sockets", 0o700)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{vm.place}/sockets/v_5001")
    listener.listen()
    listener.settimeout(WAIT_S)
    count, times = 0, []

    def take():
        nonlocal count
        connection = listener.accept()[0]
        connection.settimeout(WAIT_S)
        while piece := connection.recv(1 << 20):
            times.append(time.monotonic())
            count += len(piece)
        connection.close()

    taker = threading.Thread(target=take, daemon=True)
    taker.start()
    vm.run()
    taker.join(WAIT_S)
    listener.close()
    row(vm, "vsock.limits.bandwidth", 1024, count / 1024 / (times[-1] - times[0] + 0.1), "bandwidth", " KiB/s")


def run_time(vm):
    vm.run()
    row(vm, "limits.run_time", SECONDS * 1000, vm.used()["ran_for_ms"], "run time", " ms")


def connections(vm):
    os.mkdir(f"{vm.place}/sockets", 0o700)
    host = vsock.Host(f"{vm.place}/sockets")
    vm.run()
    host.end()
    row(vm, "vsock.limits.connections", 32, int(re.search(rb"([0-9]+) connections of 300", vm.output)[1]), "connections")


CALLERS = 24 # more than the supervisor has descriptors for
READS = 100 * SECONDS
NETWORK = ('networks: [{name: eth0, tap: cftcap, create: {address: 10.7.0.1}, addresses: [10.7.0.7], '
           'egress: [{to: 10.7.0.0/24, udp: [7]}], limits: {%s}}]\n')
CAPS = [
    (cpu, Vm("cpu", "end=spin", "{cpu: 40%}")),
    (cpuset, Vm("cpuset", "end=hang", "{cpuset: 0}")),
    (memory, Vm("memory", "end=hang", "{memory_overhead: 8MiB}")),
    (tasks, Vm("tasks", "end=hang", "{tasks: 24}")),
    (lambda vm: rate(vm, "disks[].limits.operations", 100, "disk_operations", "operations", " /s", 1),
     Vm("operations", f"bench=blk:{READS}", "{run_time: 5min}", "[{name: d, scratch: 1MiB, limits: {operations: 100/s}}]")),
    (lambda vm: rate(vm, "disks[].limits.bandwidth", 400, "disk_bytes", "bandwidth", " KiB/s", 1024),
     Vm("bandwidth", f"bench=blk:{READS}", "{run_time: 5min}", "[{name: d, scratch: 1MiB, limits: {bandwidth: 400KiB/s}}]")),
    (growth, Vm("growth", "fill=2048", "{run_time: 5min}",
                "[{name: d, path: image.raw, access: read-write, limits: {growth: 4MiB}}]")),
    (console, Vm("console", "flood=8000", "{console: 64KiB}", console="console: {log: console.log}\n")),
    (log, Vm("log", "end=hang", "{log: 1MiB}")),
    (open_files, Vm("files", "end=hang", "{run_time: 5min}")),
    (lambda vm: network_rate(vm, "networks[].limits.bandwidth", 4, "bandwidth", " Mbit/s", lambda frames: frames.bytes * 8 / 1e6),
     Vm("frames", f"bench=send:{330 * SECONDS}", "{run_time: 5min}", console=NETWORK % "bandwidth: 4Mbit/s")),
    (lambda vm: network_rate(vm, "networks[].limits.packets", 100, "operations", " /s", lambda frames: frames.count),
     Vm("packets", f"bench=send:{100 * SECONDS}", "{run_time: 5min}", console=NETWORK % "packets: 100/s")),
    (connections, Vm("connections", "vsock", "{run_time: 5min}", console=f"vsock: {{cid: {vsock.CID}, path: sockets/v, "
                     "guest_may_connect: [5000-5003], limits: {connections: 32}}\n", quiet="")),
    (new_connections, Vm("connect", f"bench=connect:{50 * SECONDS}", "{run_time: 5min}", console=f"vsock: {{cid: {vsock.CID}, "
                         "path: sockets/v, guest_may_connect: [5000], limits: {new_connections: 50/s}}\n")),
    (vsock_bandwidth, Vm("stream", f"bench=vsock:{32 * SECONDS}", "{run_time: 5min}", console=f"vsock: {{cid: {vsock.CID}, "
                         "path: sockets/v, guest_may_connect: [5001], limits: {bandwidth: 1MiB/s}}\n")),
    (run_time, Vm("time", "end=hang", f"{{run_time: {SECONDS}s}}")),
]


def main():
    if os.geteuid() != 0 or not os.access("/dev/kvm", os.W_OK):
        print("  skipped: needs root and a usable /dev/kvm")
        return 0
    if network.libc.unshare(network.CLONE_NEWNET) != 0:
        print("  FAILED: no network namespace of its own\n0 passed, 1 failed")
        return 1
    for measure, vm in CAPS:
        if "eth0" in vm.devices and not os.path.exists("/dev/net/tun"):
            counts["skipped"] += 1
            print(f"  skipped: {vm.name}: no /dev/net/tun")
            vm.close()
            continue
        try:
            measure(vm)
        except (OSError, TimeoutError, IndexError, KeyError, subprocess.SubprocessError) as error:
            counts["failed"] += 1
            table.append((vm.name, "", "", repr(error)[:300], "  <== FAILED"))
        finally:
            vm.close()
    for what, asked, reached, said, failed in table:
        print(f"  {what:40} asked {asked:12} reached {reached:12} log: {said}{failed}")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return 1 if counts["failed"] else 0


sys.exit(main())
