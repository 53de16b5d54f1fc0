#!/usr/bin/env python3
"""What a guest may send arrives, and nothing else does: the built-in guest on taps and passt, in a network namespace of this test's
own, which no packet leaves. Afterwards no tap and no passt is there, whoever was killed. Needs B (build folder), root, /dev/kvm and
/dev/net/tun. Every wait is bounded."""
import ctypes
import fcntl
import glob
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from events import are_events

BUILD = os.path.abspath(os.environ.get("B", "build"))
COFFERDAM = os.path.join(BUILD, "cofferdam")
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
TUNSETIFF, TUNSETPERSIST, SIOCSIFFLAGS, SIOCSIFADDR = 0x400454CA, 0x400454CB, 0x8914, 0x8916
IFF_UP, IFF_TAP, IFF_NO_PI = 1, 2, 0x1000
OUTGOING = 4  # of a packet socket's sll_pkttype: what the host sends
SO_TIMESTAMPNS = 35
WAIT_S = 30
LARGE = 9000
HOST, GUEST = "10.7.0.1", "10.7.0.7"
REASONS = ("source MAC address", "source address", "no egress rule", "fragment", "IP options or extension headers",
           "malformed", "protocol", "ARP", "neighbour discovery", "offload header")
counts = {"passed": 0, "failed": 0, "skipped": 0}
libc = ctypes.CDLL(None, use_errno=True)


def check(name, good, shown=""):
    counts["passed" if good else "failed"] += 1
    if not good:
        print(f"  FAILED: {name}\n    | " + str(shown)[-2000:].replace("\n", "\n    | "))


def skip(why):
    counts["skipped"] += 1
    print(f"  skipped: {why}")


def wait_until(condition):
    end = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < end:
        select.select([], [], [], 0.02)
    return condition()


def interface(name, request, value=0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, request, struct.pack("16sH22x", name.encode(), value))


def exists(name):
    return name in [entry for _, entry in socket.if_nameindex()]


def is_emulated():
    """The machine is a nested host of tests/host/run: QEMU's TCG."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        return "TCG" in file.read()


def make_tap(name):
    """As `ip tuntap add` does."""
    with open("/dev/net/tun", "rb+", buffering=0) as tun:
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        fcntl.ioctl(tun, TUNSETPERSIST, 1)


class Observer:
    """All that comes out of any tap of this namespace."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.times = [] # when the kernel had each frame that `read` returned last, in seconds

    def read(self):
        frames, self.times = [], []
        while select.select([self.socket], [], [], 0)[0]:
            frame, more, _, source = self.socket.recvmsg(1 << 17, 64)
            if source[2] != OUTGOING and source[0] != "lo":
                seconds, nanoseconds = struct.unpack("ll", more[0][2])
                frames.append(frame)
                self.times.append(seconds + nanoseconds / 1e9)
        return frames


class Echo:
    """UDP's echo service, over IPv4 or IPv6 alone."""

    def __init__(self, port, family=socket.AF_INET):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.bind(("", port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            text, caller = self.socket.recvfrom(9000)
            self.socket.sendto(text, caller)


class Place:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="cofferdam-test-")
        self.started = []
        self.host = self.write("host.yaml", "cofferdam: 1\nfolders:\n"
                               f'  runtime: "{self.folder}/run"\n  audit: "{self.folder}/log"\n'
                               f'  roots: ["{self.folder}/netns"]\n')

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    def policy(self, name, cmdline, network):
        return self.write(f"{name}.yaml", f"cofferdam: 1\nname: net-{name}\nkernel: builtin\n"
                          f'cmdline: "{cmdline}"\nmachine: {{vcpus: 1, memory: 64MiB}}\n'
                          f"networks: [{{name: eth0, {network}}}]\n")

    def command(self, *words):
        return subprocess.run([COFFERDAM, "--host", self.host, *words], check=False, timeout=WAIT_S, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, name, cmdline, network):
        return self.command("run", self.policy(name, cmdline, network))

    def start(self, name, cmdline, network):
        """A VM that runs on; answers when it does."""
        process = subprocess.Popen([COFFERDAM, "--host", self.host, "run", self.policy(name, cmdline, network)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.started.append(process)
        output = b""
        while b"power button" not in output and select.select([process.stdout], [], [], WAIT_S)[0]:
            piece = os.read(process.stdout.fileno(), 4096)
            output += piece
            if not piece:
                break
        check(f"{name} runs", b"power button" in output, output.decode())
        return process

    def records(self, name):
        found = []
        for path in glob.glob(os.path.join(self.folder, "log", f"net-{name}-*.jsonl")):
            with open(path, encoding="utf-8") as file:
                found += [json.loads(line) for line in file if line.endswith("\n")]
        return found


RULES = "addresses: [%s], egress: [{to: 10.7.0.0/24, udp: [7], tcp: [80], icmp: on}]" % GUEST
CREATE = "tap: cft0, create: {address: %s}, " % HOST


def is_allowed(frame):
    """As the policy above says, read from the frame by other code than the device's."""
    if frame[6:12] != b"\x02\0\0\0\0\x07":
        return False
    if frame[12:14] == b"\x08\x06":
        return frame[22:32] == frame[6:12] + socket.inet_aton(GUEST)
    if frame[12:15] != b"\x08\0\x45" or frame[20:22] not in (b"\0\0", b"\x40\0"):
        return False
    if frame[26:30] != socket.inet_aton(GUEST) or frame[30:33] != b"\x0a\x07\0":
        return False
    port = struct.unpack(">H", frame[36:38])[0]
    return frame[23] == 1 and frame[34] == 8 or frame[23] == 17 and port == 7 or frame[23] == 6 and port == 80


def allowed_and_denied(place):
    observer = Observer()
    network = CREATE + 'mac: "02:00:00:00:00:07", ' + RULES.replace("[10.7.0.7]", '[10.7.0.7, "fd00::7"]')
    words = f"network ip={GUEST} peer={HOST} ping udp=7 attack tcp=80 large={LARGE}"
    result = place.run("attack", words, network)
    check("the guest is answered, whatever else it sends", result.returncode == 0 and "all well" in result.stdout,
          result.stdout)
    frames = observer.read()
    check("nothing else arrives", all(map(is_allowed, frames)), [f[:60].hex() for f in frames if not is_allowed(f)])
    kinds = [frame[23] for frame in frames if frame[12:14] == b"\x08\0"]
    check("what may be sent arrives", (kinds.count(1), kinds.count(17), kinds.count(6)) == (3, 2, 1), kinds)
    check("a large segment arrives whole", max(map(len, frames), default=0) == 14 + 20 + 20 + LARGE,
          sorted(map(len, frames)))
    check("the tap is gone", not exists("cft0"))
    denied = [record["unmapped"]["cofferdam"]["details"] for record in place.records("attack")
              if record["metadata"]["event_code"] == "frames_denied"]
    for reason in REASONS:
        check(f"the log says: {reason}", any(detail["denial"] == reason and detail["count"] > 0 for detail in denied), denied)
    check("the log says where to", any(detail.get("peer") == f"{HOST} udp 7" for detail in denied), denied)
    check("the log is bounded", len(denied) <= 2 * len(REASONS), denied)
    log = glob.glob(os.path.join(place.folder, "log", "net-attack-*.jsonl"))[0]
    with open(log, encoding="utf-8") as file:
        key = re.search(r'"key":"([^"]*)"', file.readline()).group(1)
    check("the log verifies", place.command("audit", "verify", "--pubkey", key, log).returncode == 0)


def counters(place):
    """Each rule's frames, as another counts them; the record of the end has the sums."""
    observer = Observer()
    rules = "egress: [{to: 10.7.0.0/24, icmp: on}, {to: 10.7.0.0/25, udp: [7]}, {to: 10.7.0.0/24, udp: [7], tcp: [80, 90-99]}], " \
        "ingress: [{from: 10.7.0.0/24, tcp: [22]}]"
    words = f"network ip={GUEST} peer={HOST} ping udp=7 attack tcp=80 end=button"
    vm = place.start("counted", words, CREATE + f'mac: "02:00:00:00:00:07", addresses: [{GUEST}], ' + rules)
    def look():
        shown = place.command("stats", "--json", "net-counted")
        return {device["name"]: device for device in json.loads(shown.stdout)["devices"]}["eth0"]
    # What the host answers to a segment comes a moment after the guest has sent it.
    wait_until(lambda: look()["traffic"][2]["received_frames"] > 0)
    device = look()
    traffic = device["traffic"]
    check("stats have a line for each rule and two more", [(line["kind"], line.get("peer"), line.get("tcp")) for line in traffic] ==
          [("egress", "10.7.0.0/24", None), ("egress", "10.7.0.0/25", None), ("egress", "10.7.0.0/24", ["80", "90-99"]),
           ("ingress", "10.7.0.0/24", ["22"]), ("link", None, None), ("denied", None, None)], traffic)
    text = place.command("stats", "net-counted").stdout
    check("stats for people", "    egress 10.7.0.0/24 tcp 80,90-99 udp 7: sent 1 frames, " in text and
          "    egress 10.7.0.0/24 icmp: sent 3 frames, " in text and "    link: sent " in text, text)
    vm.send_signal(signal.SIGTERM)
    check("it ends", vm.wait(WAIT_S) == 0)
    frames = observer.read()
    seen = [[len(frame) for frame in frames if frame[12:14] == b"\x08\0" and frame[23] == protocol] for protocol in (1, 17, 6)]
    seen += [[], [len(frame) for frame in frames if frame[12:14] == b"\x08\x06"]]
    counted = [(line["sent_frames"], line["sent_bytes"]) for line in traffic]
    check("sent, as counted elsewhere", counted[:5] == [(len(sizes), sum(sizes)) for sizes in seen], (counted, seen))
    received = [line["received_frames"] for line in traffic]
    check("received: what answers, by the rule of what it answers", received[:4] == [3, 2, 1, 0] and received[4] > 0, received)
    records = [(record["metadata"]["event_code"], record["unmapped"]["cofferdam"]["details"]) for record in place.records("counted")]
    check("each frame has one line", sum(frames for frames, _ in counted) + sum(received[:5]) == device["requests"], device)
    denied = sum(details["count"] for event, details in records if event == "frames_denied")  # but for the last second's
    check("denied, and more than the log's first of each", counted[5][0] > denied >= len(REASONS), (counted[5], denied))
    end = dict(records)["vm_stopped"]
    check("the end's record has the sums", end["network_denied"] >= denied and
          end["network_frames"] >= sum(map(len, seen)) + sum(received[:5]) and end["network_bytes"] > sum(map(sum, seen)), end)


def default_deny(place):
    observer = Observer()
    result = place.run("silent", f"network ip={GUEST} peer={HOST} udp=7", CREATE + f"addresses: [{GUEST}]")
    check("without a rule the guest has no answer", result.returncode == 1 and "no answer" in result.stdout, result.stdout)
    kinds = {frame[12:14] for frame in observer.read()}
    check("without a rule ARP alone leaves", kinds == {b"\x08\x06"}, kinds)
    result = place.run("none", "network list", CREATE + RULES)
    check("a network that does nothing", result.returncode == 0 and "virtio network" in result.stdout, result.stdout)


def example(place):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/network.yaml")
    planned = place.command("plan", path)
    check("the example, as planned", planned.returncode == 0 and "makes the tap" in planned.stdout, planned.stdout)
    result = place.command("run", path)
    check("the example runs", result.returncode == 0 and result.stdout.count("was answered") == 3, result.stdout)


def reset_at_any_moment(place):
    result = place.run("reset", "reset-devices=30 break", CREATE + RULES)
    check("resets, and a driver that breaks the rules", result.returncode == 0 and "all well" in result.stdout, result.stdout)


def given(place):
    """A tap that is there already, in another namespace."""
    there = os.path.join(place.folder, "netns")
    os.mkdir(there)
    with open(os.path.join(there, "blue"), "w", encoding="ascii"):
        pass
    holder = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    own, path = os.stat("/proc/self/ns/net").st_ino, f"/proc/{holder.pid}/ns/net"
    check("another namespace", wait_until(lambda: os.stat(path).st_ino != own))
    check("has a name", libc.mount(path.encode(), os.path.join(there, "blue").encode(), None, MS_BIND, None) == 0)
    os.mkdir(os.path.join(there, "folder"))
    network = f"tap: cft1, netns: {there}/blue, " + RULES
    enter = ["nsenter", f"--net={there}/blue"]

    def expect(name, text):
        result = place.run("given", "network", network)
        check(name, result.returncode == 125 and text in result.stdout, result.stdout)
        planned = place.command("plan", os.path.join(place.folder, "given.yaml"))
        check(f"{name}, as planned", planned.returncode == 125 and text in planned.stdout, planned.stdout)

    expect("no such tap", "there is no tap cft1")
    script = "import sys; sys.path.insert(0, %r); import network; network.make_tap('cft1')" % os.path.dirname(os.path.abspath(__file__))
    subprocess.run([*enter, sys.executable, "-c", script], check=True)
    expect("a tap that is down", "the tap cft1 is down")
    subprocess.run([*enter, sys.executable, "-c", script.replace("make_tap('cft1')", "interface('cft1', 0x8914, 1)")], check=True)
    elsewhere = network.replace(f"netns: {there}/blue, ", "")
    result = place.run("elsewhere", "network", elsewhere)
    check("a tap of another namespace, which the policy does not name", result.returncode == 125 and
          "there is no tap cft1" in result.stdout and not exists("cft1"), result.stdout)
    result = place.run("remade", "network", network.replace("netns: ", "create: {address: 10.7.0.1}, netns: "))
    check("nor is one made where there is one", result.returncode == 125 and
          "there is an interface cft1 already" in result.stdout, result.stdout)
    make_tap("cft1")
    result = place.run("namesake", "network", elsewhere)
    check("its namesake here is another", result.returncode == 125 and "the tap cft1 is down" in result.stdout, result.stdout)
    subprocess.run(["ip", "link", "del", "cft1"], check=True)
    first = place.start("first", "network end=button", network)
    result = place.run("second", "network", network)
    check("a tap has one VM", result.returncode == 125 and "belongs to another VM" in result.stdout, result.stdout)
    first.send_signal(signal.SIGTERM)
    check("a given tap works", first.wait(WAIT_S) == 0)
    listed = subprocess.run([*enter, "cat", "/proc/net/dev"], check=True, stdout=subprocess.PIPE, text=True).stdout
    check("a given tap stays, down to its namespace", "cft1" in listed and not exists("cft1"), listed)
    result = place.run("wrong", "network", network.replace("/blue", "/folder"))
    check("a folder is no namespace", result.returncode == 125 and "directory" in result.stdout, result.stdout)
    result = place.run("wrong", "network", network.replace(there, "/proc/self/ns").replace("blue", "net"))
    check("a namespace outside the roots", result.returncode == 125 and "outside" in result.stdout, result.stdout)
    libc.umount2(os.path.join(there, "blue").encode(), 2)
    holder.stdin.close()
    holder.wait(WAIT_S)


def passts():
    """pid: status of each passt that serves a VM of ours."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line, open(f"/proc/{pid}/status", encoding="ascii") as status:
                if b"passt" in os.path.basename(line.read().split(b"\0")[0]) and os.stat(f"/proc/{pid}/ns/net").st_ino == own_network():
                    found[int(pid)] = dict(entry.split(":", 1) for entry in status.read().splitlines())
        except OSError:
            pass
    return found


def own_network():
    return os.stat("/proc/self/ns/net").st_ino


OUTER = "10.9.0.1"  # this namespace's address towards a world that is not there
PASST = "passt: on, addresses: [%s], egress: [{to: %s/32, udp: [7], tcp: [80]}]" % (GUEST, OUTER)


def make_way_out():
    make_tap("cft9")
    for words in (f"addr add {OUTER}/24 dev cft9", "link set cft9 up", "route add default via 10.9.0.2"):
        subprocess.run(["ip", *words.split()], check=True)


def told_of_passt(records):
    """What the log has of it, in order: the event, and how it ended."""
    found = []
    for record in records:
        details = record["unmapped"]["cofferdam"].get("details", {})
        if record["metadata"]["event_code"].startswith("passt_"):
            found.append((record["metadata"]["event_code"], details.get("exit_status", details.get("signal"))))
    return found


def with_passt(place):
    refused = place.run("passt", "network", PASST)
    check("without a way out passt does not start", refused.returncode == 125 and "passt does not start: " in refused.stdout,
          refused.stdout)
    make_way_out()
    closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # the attack tries port 8, which no rule has
    closed.bind(("0.0.0.0", 8))
    closed.setblocking(False)
    planned = place.command("plan", place.policy("planned", "", PASST))
    check("plan says that passt is started", "starts passt" in planned.stdout and not passts(), planned.stdout)
    result = place.run("passt", f"network ip={GUEST} peer={OUTER} udp=7 attack tcp=80 large=1000", PASST)
    check("passt: the guest is answered", result.returncode == 0 and result.stdout.count("answered") == 2, result.stdout)
    check("passt: nothing else arrives", not select.select([closed], [], [], 0)[0])
    denied = {record["unmapped"]["cofferdam"]["details"]["denial"] for record in place.records("passt")
              if record["metadata"]["event_code"] == "frames_denied"}
    check("passt: the log says what was denied", set(REASONS) <= denied, denied)
    check("passt is gone", not passts(), passts())
    known = place.records("passt")
    check("passt: the log has its start and its end", told_of_passt(known) == [("passt_started", None), ("passt_ended", 0)],
          told_of_passt(known))
    vm = place.start("passt", "network end=button", PASST)
    (pid, status), *more = passts().items()
    check("passt: one process", not more)
    check("passt: a uid of its own", len(set(status["Uid"].split())) == 1 and int(status["Uid"].split()[0]) % 32 == 28,
          status["Uid"])
    check("passt: a session of its own, which a terminal's signals do not reach", os.getsid(pid) == pid, os.getsid(pid))
    check("passt: no capability, a filter", (int(status["CapEff"], 16), int(status["CapPrm"], 16), status["Seccomp"].strip()) ==
          (0, 0, "2"), status)
    os.kill(pid, signal.SIGKILL)
    check("passt: killed, which the log says while the VM runs",
          wait_until(lambda: ("passt_ended", 9) in told_of_passt(place.records("passt"))), told_of_passt(place.records("passt")))
    vm.send_signal(signal.SIGTERM)
    check("passt: killed, and the VM goes on to its end", vm.wait(WAIT_S) == 0)
    check("passt: no more", wait_until(lambda: not passts()), passts())


def killed(place):
    """Whoever is killed: the tap and passt are gone."""
    for role in ("launcher", "1", "2", "5"):
        vm = place.start("killed", "network end=button", CREATE + RULES + "}, {name: eth1, " + PASST)
        check("the tap and passt are there", exists("cft0") and len(passts()) == 1)
        children = []
        with open(f"/proc/{vm.pid}/task/{vm.pid}/children", encoding="ascii") as file:
            for pid in file.read().split():
                with open(f"/proc/{pid}/cmdline", encoding="ascii") as line:
                    children.append((int(pid), (line.read() + "\0").split("\0")[1]))  # one that has ended has none
        os.kill(vm.pid if role == "launcher" else dict((r, p) for p, r in children)[role], signal.SIGKILL)
        vm.wait(WAIT_S)
        check(f"the tap is gone after role {role}", wait_until(lambda: not exists("cft0")))
        check(f"passt is gone after role {role}", wait_until(lambda: not passts()), passts())
        check("and all processes", wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid, _ in children)))
        place.command("ps")


def main(*parts):
    if os.geteuid() != 0 or not os.access("/dev/kvm", os.W_OK) or not os.path.exists("/dev/net/tun"):
        print("  skipped: needs root, a usable /dev/kvm and /dev/net/tun\n0 passed, 0 failed, 1 skipped")
        return 0
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        print("  FAILED: no namespaces of its own\n0 passed, 1 failed")
        return 1
    interface("lo", SIOCSIFFLAGS, IFF_UP)
    Echo(7)
    place = Place()
    try:
        for part in parts:
            part(place)
        check("every line of the logs is an event of OCSF", *are_events(place.folder))
    finally:
        for process in place.started:
            process.kill()
            process.wait()
        shutil.rmtree(place.folder, ignore_errors=True)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main(allowed_and_denied, counters, default_deny, example, reset_at_any_moment, given, with_passt, killed))
