#!/usr/bin/env python3
"""Debian works its devices with fio, ping, iperf3, socat and stress-ng (guest/debian/share/friendly.sh), on a tap, through passt and
over vsock, while its balloon moves; then it powers off, or reboots, under load. The host's side of it, in a network namespace of
this test's own. B: build folder, with debian-tools in it; DURATION: rounds begin for so many seconds (120), and for
two minutes or more there are two at least; LOAD_S: how long each load lasts (2). BED: `here`, on this machine's KVM, or `nested`, in
the nested host (tests/host/run); where it is not set, here if that is hardware. Needs root, /dev/net/tun. Every wait is bounded."""
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import network  # noqa: E402  its namespace, its taps
from events import are_events
from network import COFFERDAM, check, counts

BUILD = os.path.abspath(os.environ.get("B", "build"))
DURATION = int(os.environ.get("DURATION", "120"))
LEAST = 2 if DURATION >= 120 else 1  # rounds
LOAD_S = int(os.environ.get("LOAD_S", "2"))
WAIT_S = 120
ROUND_S = 300  # no round takes as long, however slow the machine
BOOT_S = 150   # nor a guest's start
NESTED_S = 1500  # what comes to the rounds in the nested host, its own start included
MEMORY, MINIMUM, SMALLER = 512, 256, 480  # MiB
OUTER = "10.9.0.1"
TRIPLE_FAULT = 123


class Place(network.Place):
    def __init__(self):
        super().__init__()
        self.logs = os.path.join(self.folder, "log")
        os.mkdir(os.path.join(self.folder, "sockets"), 0o700)
        for name in ("vmlinuz", "initrd.img", "root.erofs"):
            shutil.copyfile(os.path.join(BUILD, "debian-tools", name), os.path.join(self.folder, name))
        with open(os.path.join(self.folder, "data.img"), "wb") as image:
            image.truncate(32 << 20)

    def friendly_policy(self, name, duration, rounds, end):
        return self.write(f"{name}.yaml", f"""cofferdam: 1
name: {name}
kernel: {{path: vmlinuz}}
initrd: {{path: initrd.img}}
cmdline: "console=hvc0 quiet cofferdam.run=friendly friendly.seconds={LOAD_S} friendly.for={duration} friendly.rounds={rounds} friendly.end={end}"
machine: {{vcpus: 2, memory: {MEMORY}MiB}}
disks: [{{name: root, path: root.erofs}}, {{name: data, path: data.img, access: read-write}}]
balloon: {{minimum: {MINIMUM}MiB}}
vsock: {{cid: {1000 + os.getpid()}, path: sockets/v, guest_may_connect: [5000-5001], host_may_connect: [1234]}}
networks:
  - name: eth0
    tap: cft0
    create: {{address: 10.7.0.1}}
    addresses: [10.7.0.7, "fd00::7"]
    egress: [{{to: 10.7.0.0/24, icmp: on}}, {{to: 10.7.0.0/24, tcp: [5201], udp: [5201]}}, {{to: "fd00::/64", tcp: [5201], icmp: on}}]
  - name: eth1
    passt: on
    addresses: [10.8.0.7]
    egress: [{{to: {OUTER}/32, tcp: [5202], udp: [5202], icmp: on}}]
""")


class Host:
    """What answers the guest: an echo at vsock port 5000, what it asks for at 5001, iperf3's servers."""

    def __init__(self, place, name):
        self.place, self.name, self.launcher, self.asked = place, name, None, []
        self.path = os.path.join(place.folder, "sockets", "v")
        self.listeners = [self.listen(5000, self.echo), self.listen(5001, self.answer)]

    def listen(self, port, serve):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"{self.path}_{port}")
        listener.listen(16)

        def accept():
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                connection.settimeout(WAIT_S)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return listener

    def end(self):
        for listener in self.listeners:
            listener.close()
        for port in (5000, 5001):
            os.unlink(f"{self.path}_{port}")

    @staticmethod
    def echo(connection):
        try:
            while piece := connection.recv(65536):
                connection.sendall(piece)
        except OSError:
            pass
        connection.close()

    def answer(self, connection):
        what = connection.makefile("r").readline().strip()
        self.asked.append(what)
        try:
            good = {"call": self.call, "balloon": self.balloon, "reported": self.reported}[what]()
        except (OSError, KeyError, subprocess.TimeoutExpired) as error:
            good = print(error)
        check(f"{what}, as the guest asks", good)
        connection.sendall(b"done\n" if good else b"failed\n")
        connection.close()

    def call(self):
        """Connections to the guest, whose listener comes a moment later than it says."""
        data = os.urandom(200000)
        for _ in range(3):
            end = time.monotonic() + WAIT_S
            while time.monotonic() < end:
                caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                caller.settimeout(WAIT_S)
                caller.connect(self.path)
                caller.sendall(b"CONNECT 1234\n")
                stream = caller.makefile("rb")
                if stream.readline().startswith(b"OK "):
                    break
                caller.close()
            sender = threading.Thread(target=lambda: (caller.sendall(data), caller.shutdown(socket.SHUT_WR)))
            sender.start()
            back = stream.read()
            sender.join(WAIT_S)
            caller.close()
            if back != data:
                return False
        return True

    def inspect(self):
        return self.place.command("inspect", self.name).stdout

    def balloon(self):
        """A smaller machine, and as large as before, twice."""
        for _ in range(2):
            for size, held in ((SMALLER, f"held {MEMORY - SMALLER}MiB"), (MEMORY, None)):
                changed = self.place.command("set", self.name, f"machine.memory={size}MiB")
                if changed.returncode != 0:
                    print(changed.stdout)
                    return False
                if not wait_until(lambda: (held in self.inspect()) if held else ("held" not in self.inspect())):
                    print(self.inspect())
                    return False
        return True

    def kept(self):
        """MiB of guest RAM that the host keeps: by any process that has it, the memory file's blocks."""
        for process in processes_of(self.launcher):
            for path in glob.glob(f"/proc/{process}/fd/4"):
                try:
                    if os.stat(path).st_size == MEMORY << 20:
                        return os.stat(path).st_blocks * 512 >> 20
                except OSError:
                    pass
        return 0

    def reported(self):
        """stress-ng's memory is the host's again: the guest reports free pages by itself."""
        return wait_until(lambda: 0 < self.kept() < 200)


def wait_until(condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.05)
    return True


def processes_of(launcher):
    try:
        with open(f"/proc/{launcher}/task/{launcher}/children", encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


def private_kib(launcher):
    """Of each process of the VM, but passt: that fills the tables that it has room for from the start."""
    found = []
    for pid in processes_of(launcher):
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                status = dict(line.split(":", 1) for line in file)
        except OSError:
            continue
        if not status["Name"].strip().startswith("passt"):
            found.append(int(status.get("RssAnon", "0").split()[0]))  # an ended one has none
    return found


def give_up(process):
    """It does not end: says what each thread is at, twice, so that one that spins shows, and kills it."""
    for _ in range(2):
        for pid in processes_of(process.pid):
            for task in glob.glob(f"/proc/{pid}/task/*"):
                try:
                    with open(f"{task}/stat", encoding="utf-8") as stat, open(f"{task}/syscall", encoding="ascii") as call:
                        print("  ", task, " ".join(stat.read().rsplit(")", 1)[1].split()[:13]), call.read()[:60].strip(), flush=True)
                except OSError:
                    pass
        threading.Event().wait(1)
    process.kill()


def run(place, name, duration, rounds, end, status, tries=2):
    host = Host(place, name)
    # New ones each time: a server whose client went without a word waits for it for two minutes.
    servers = [subprocess.Popen(["iperf3", "--server", "--port", port], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL) for port in ("5201", "5202")]
    place.started += servers
    process = subprocess.Popen([COFFERDAM, "--host", place.host, "run", place.friendly_policy(name, duration, rounds, end)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    place.started.append(process)
    host.launcher = process.pid
    killer = threading.Timer(duration + max(rounds, 1) * ROUND_S, give_up, (process,))
    killer.start()
    silence = threading.Timer(BOOT_S, give_up, (process,))
    silence.start()
    check(f"{name}: there is a tap", wait_until(lambda: network.exists("cft0")))
    subprocess.run(["ip", "-6", "addr", "add", "fd00::1/64", "dev", "cft0", "nodad"], check=False)
    output, memory, traffic = [], [], {}
    for line in process.stdout:
        output.append(line)
        print("   ", line.rstrip(), flush=True)
        if line.startswith("friendly: "):
            silence.cancel()
        if line.startswith("friendly: round"):
            memory.append(private_kib(process.pid))
            traffic = {device["name"]: device for device in json.loads(place.command("stats", "--json", name).stdout)["devices"]}
    ended = process.wait()
    killer.cancel()
    silence.cancel()
    for server in servers:
        server.kill()
        server.wait()
    # With two emulated processors, which the nested host no longer has, QEMU ended a guest by a triple fault at times, or let one
    # vCPU spin for ever (docs/devices.md). A guest that ends so is started once more; what give_up said shows where it was.
    if (ended < 0 or ended == TRIPLE_FAULT) and tries > 1 and network.is_emulated():
        print(f"    the guest {'did not end' if ended < 0 else 'ended by a triple fault'}; "
              "once more, for its processor is emulated", flush=True)
        host.end()
        run(place, name, duration, rounds, end, status, tries - 1)
        return
    check(f"{name}: its end by {end} under load", ended == status and f"friendly: {end} under load\n" in output,
          "".join(output[-40:]) + f"status {ended}, not {status}")
    check(f"{name}: nothing that the guest did failed", not any("FAILED" in line for line in output))
    check(f"{name}: {len(memory)} rounds, no less than {rounds}", len(memory) >= rounds)
    if rounds > 0 and memory and traffic and ended == status:
        check(f"{name}: every part was there", set(host.asked) == {"call", "balloon", "reported"}, host.asked)
        lines = [line for device in ("eth0", "eth1") for line in traffic[device]["traffic"] if line["kind"] == "egress"]
        check(f"{name}: every rule was in use, both ways", all(line["sent_frames"] > 0 < line["received_frames"] for line in lines), lines)
        check(f"{name}: no process grows", len(memory[0]) > 5 and max(memory[-1]) < max(memory[0]) + 1024, (memory[0], memory[-1]))
    host.end()
    records = []
    for path in glob.glob(os.path.join(place.logs, f"{name}-*.jsonl")):
        with open(path, encoding="utf-8") as file:
            records += [json.loads(line) for line in file]
    bad = [record["unmapped"]["cofferdam"]["details"] for record in records
           if record["metadata"]["event_code"] in ("device_fault", "violation")]
    check(f"{name}: no fault of a driver, no violation", not bad, bad)
    denied = {record["unmapped"]["cofferdam"]["details"]["denial"] for record in records
              if record["metadata"]["event_code"] == "frames_denied"}
    # What Linux says to multicast groups goes with options, or as IGMP; from addresses of no policy, with neighbour discovery.
    check(f"{name}: only what Linux sends by itself was denied", denied <=
          {"IP options or extension headers", "protocol", "neighbour discovery", "source address"}, denied)


def bed():
    """Where it runs, as it is chosen or as the machine has it. In the nested host it is here."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        is_hardware = re.search(r"\b(svm|vmx)\b", file.read()) is not None and os.access("/dev/kvm", os.W_OK)
    chosen = os.environ.get("BED") or ("here" if is_hardware else "nested")
    return "here" if network.is_emulated() else chosen


def main():
    if bed() not in ("here", "nested"):
        print("  FAILED: BED is `here` or `nested`\n0 passed, 1 failed")
        return 1
    if bed() == "nested":
        print("nested host with kvm-amd under QEMU's TCG", flush=True)
        own = os.path.abspath(__file__)
        host = os.path.join(os.path.dirname(own), "../host/run")
        os.execv(host, [host, "--timeout", str(DURATION + NESTED_S), own])
    if os.geteuid() != 0 or not os.access("/dev/kvm", os.W_OK) or not os.path.exists("/dev/net/tun"):
        print("  skipped: needs root, a usable /dev/kvm and /dev/net/tun\n0 passed, 0 failed, 1 skipped")
        return 0
    if network.libc.unshare(network.CLONE_NEWNET | network.CLONE_NEWNS) != 0 or network.libc.mount(
            b"none", b"/", None, network.MS_REC | network.MS_PRIVATE, None) != 0:
        print("  FAILED: no namespaces of its own\n0 passed, 1 failed")
        return 1
    network.interface("lo", network.SIOCSIFFLAGS, network.IFF_UP)
    network.make_tap("cft9")
    for words in (f"addr add {OUTER}/24 dev cft9", "link set cft9 up", "route add default via 10.9.0.2"):
        subprocess.run(["ip", *words.split()], check=True)
    with open("/proc/sys/net/ipv4/ping_group_range", "w", encoding="ascii") as file:  # passt's pings
        file.write("0 2147483647")
    place = Place()
    try:
        run(place, "friendly", DURATION, LEAST, "poweroff", 0)
        run(place, "again", 0, 0, "reboot", 122)
        check("every line of the logs is an event of OCSF", *are_events(place.folder))
    finally:
        for process in place.started:
            process.kill()
            process.wait()
        shutil.rmtree(place.folder, ignore_errors=True)
    print("{passed} passed, {failed} failed".format(**counts))
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
