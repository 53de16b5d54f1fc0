#!/usr/bin/python3
"""A guest that attacks every device there is (tests/guests/hostile), watched from outside.

The guest says case by case what came of it; here is looked at what it cannot see: after each case, how much memory and how
many open files each process has, how much CPU it took and how much the log grew; in the end the log, which must have every kind of fault once for
each device and no flood of them, the terminal's bytes, the image under the overlay, and that nothing is left. Then the attacks
that end the VM, each with its outcome; and the cases once more, those of one kind of fault at a time: each must have brought
about its own kind, for the log of that run has no other.

Meanwhile somebody types without end, observes what comes out of the guest's tap, which lies in a namespace of this test's own,
listens at the host's vsock ports, and asks how the balloon is. A network needs root and /dev/net/tun: without, that part is skipped.

B: build folder. ROUNDS=full: the same against programs built with traps for undefined behaviour, and against programs with
AddressSanitizer that run without the empty root and the filters (make sanitized). CASES="from=N to=M": these alone, once.
"""
import contextlib, ctypes, json, os, re, select, shutil, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import network, vsock

from events import are_events
from hostile_cases import Cases
from hostile_processes import Heed, Process, children

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
B = os.path.join(top, os.environ.get("B", "build"))
CPU_NS = 5_000_000  # of any process in a case that was brief or has settled; one that spins takes the whole of its quiet 6 ms and more
MEMORY_KIB = 256    # that a process may use more of what it has from the start
LAST = 5            # cases by which all connections have ended
CONNECTIONS = 64    # of vsock at a time; the guest's flood is of far more
LOG_BYTES = 500_000  # twice what it usually is: what comes slowly, as on a busy machine, is signed in smaller batches
LOG_GROWTH = 64 << 10  # from one case to the next: more records than some rows of cases have to bring, for it is written later
SUSPECTS = 24       # cases of a boot that are tried again, of those that may have made a process spin
TRIES = 12          # of each, alone: one in which it does not shows that it was the machine
INSPECT_EVERY = 250 # cases
IMAGE = b"B" * (1 << 20)  # under the overlay; the guest knows the byte
with_network = False
passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print(f"  FAILED: {name}" + "".join(f"\n    | {line}" for line in str(detail).splitlines()[:25]), flush=True)


class Place:
    def __init__(self, build):
        self.build = build
        self.path = tempfile.mkdtemp(prefix="cofferdam-test-")
        self.host = f"{self.path}/host.yaml"
        with open(self.host, "w") as file:
            file.write(f'cofferdam: 1\nfolders: {{runtime: "{self.path}/run", audit: "{self.path}/log"}}\n')
        os.chmod(self.path, 0o755)
        os.chmod(self.host, 0o644)
        shutil.copy(f"{B}/hostile.elf", f"{self.path}/hostile.elf")
        os.mkdir(f"{self.path}/sockets", 0o700)
        self.listeners = vsock.Host(f"{self.path}/sockets")
        with open(f"{self.path}/ro.img", "wb") as file:
            file.truncate(1 << 20)
        with open(f"{self.path}/base.img", "wb") as file:
            file.write(IMAGE)

    def policy(self, name, vcpus, cmdline, run_time):
        with open(f"{self.path}/{name}.yaml", "w") as file:
            file.write(f"""cofferdam: 1
name: {name}
kernel: {{path: hostile.elf}}
cmdline: {cmdline}
machine: {{vcpus: {vcpus}, memory: 64MiB}}
disks:
  - {{name: rw, scratch: 1MiB, access: read-write}}
  - {{name: ro, path: ro.img, access: read-only}}
  - {{name: over, path: base.img, overlay: {"keep" if vcpus == 2 else "discard"}}}
console: {{input: stdin}}
entropy: {{limits: {{bandwidth: 64MiB/s}}}}
balloon: {{minimum: 32MiB}}
vsock: {{cid: {CID}, path: sockets/v, guest_may_connect: [5000-5003], host_may_connect: [1234],
  limits: {{connections: {CONNECTIONS}, new_connections: 10000/s}}}}
{NETWORK if with_network else ""}limits: {{run_time: {run_time}, cpu: 200%, console: 16MiB, memory_overhead: 1GiB}}
control: {{grace: 500ms}}
""")
        os.chmod(file.name, 0o644)
        return file.name

    def start(self, name, vcpus, cmdline, run_time):
        self.errors = open(f"{self.path}/{name}.err", "wb+")
        process = subprocess.Popen([f"{self.build}/cofferdam", "--host", self.host, "run",
                                    self.policy(name, vcpus, cmdline, run_time)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        threading.Thread(target=type_without_end, args=(process.stdin,), daemon=True).start()
        return process

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def log(self, name):
        logs = [f"{self.path}/log/{file}" for file in os.listdir(f"{self.path}/log") if file.startswith(name + "-")]
        return logs[0] if len(logs) == 1 else None

    def expect_clean(self, name):
        left = [file for file in os.listdir(f"{self.path}/run") if file.startswith(name + ".")]
        for folder, names, _ in os.walk("/sys/fs/cgroup"):
            left += [f"{folder}/{each}" for each in names if each == name or each.startswith(name + ".")]
        check(f"{name}: nothing is left", not left, left)


def type_without_end(stdin):
    with contextlib.suppress(OSError), stdin:  # until the VM has ended
        while os.write(stdin.fileno(), b"t" * 4096):
            pass


def status_of(process):
    process.stdout.close()
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        return "no end"


def lines_of(process, seconds):
    """Lines of its output as they come; the end of them when it ends, or takes too long."""
    end, rest = time.monotonic() + seconds, b""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], max(0, end - time.monotonic()))
        piece = os.read(process.stdout.fileno(), 65536) if ready else b""
        if not piece:
            if rest:
                yield rest
            return
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


# What the guest's sequences may have become: text, colour and cursor movement.
HARMLESS = re.compile(rb"(?:[\x20-\x7e\n\r\t\a\b]|[\xc2-\xf4][\x80-\xbf]+|\x1b\[[0-9;:]*[A-HJKLMPSTX`ade@fmsu]|\x1b[78DEM])*")
CID = 3000 + os.getpid()
NETWORK = """networks:
  - {name: eth0, tap: cfh0, create: {address: 10.7.0.1}, mac: "02:00:00:00:00:07", addresses: [10.7.0.7, "fd00::7"],
     egress: [{to: 10.7.0.0/24, udp: [7], tcp: [80], icmp: on}], ingress: [{from: 10.7.0.0/24, tcp: [22]}],
     limits: {bandwidth: 10Gbit/s, packets: 1000000/s}}
"""
FAULTS = {"queue-layout": "queue layout", "available-index": "available index", "descriptor-index": "descriptor index",
          "chain": "descriptor chain too long", "order": "order of descriptors", "indirect-descriptor": "indirect descriptor",
          "buffer-address": "buffer address", "request": "request without header or footer"}
DEVICES = {"console.0": "console", "console.0/receive": "console", "block.0": "rw", "block.1": "ro", "block.2": "over",
           "entropy.0": "entropy", "balloon.0": "balloon", "balloon.0/deflate": "balloon", "balloon.0/statistics": "balloon",
           "balloon.0/reporting": "balloon", "balloon.0/reporting-of-linux": "balloon",
           "vsock.0": "vsock", "vsock.0/receive": "vsock", "vsock.0/event": "vsock"}
NO_TARGETS = {"block.1"}  # a second disk without an overlay is asked what concerns disks alone
DENIALS = {"vsock": {"source address", "port not in guest_may_connect"}}
FRAME_DENIALS = {"source MAC address", "source address", "no egress rule", "fragment", "IP options or extension headers", "malformed",
                 "protocol", "ARP", "neighbour discovery", "offload header"}


def may_leave(frame):
    """As the policy says, read from the frame by other code than the device's: network.py's, and the guest's own advertisement."""
    if network.is_allowed(frame):
        return True
    own = bytes.fromhex("fd00000000000000000000000000") + b"\0\x07"
    return (frame[6:15] == b"\x02\0\0\0\0\x07\x86\xdd\x60" and frame[20:22] == b"\x3a\xff" and frame[22:38] == own
            and frame[54:56] == b"\x88\0" and frame[62:78] == own and frame[78:] == b"\x02\x01\x02\0\0\0\0\x07")


CASE = re.compile(rb"case (\d+) (\S+) (\d+) (\S+) (\S+) (\S+) (\S+) (brief|settled) (ok|FAILED.*)")


def inspect(place, name):
    """What the supervisor asks of the balloon's process, and that of the driver."""
    done = subprocess.run([f"{place.build}/cofferdam", "--host", place.host, "inspect", name], capture_output=True, text=True, timeout=60)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def read_log(place, name):
    with open(place.log(name)) as file:
        return [json.loads(line) for line in file]


def check_log(place, name, expected, may):
    records = read_log(place, name)
    had = [(record["unmapped"]["cofferdam"]["details"]["device"], record["unmapped"]["cofferdam"]["details"]["fault"])
           for record in records if record["metadata"]["event_code"] == "device_fault"]
    check(f"{name}: every fault is in the log", expected <= set(had), expected - set(had))
    check(f"{name}: and no other", set(had) <= expected | may, set(had) - expected - may)
    check(f"{name}: each once", len(had) == len(set(had)), had)
    size = os.path.getsize(place.log(name))
    check(f"{name}: the log is small", size < LOG_BYTES, size)
    verdict = subprocess.run([f"{place.build}/cofferdam", "--host", place.host, "audit", "verify", place.log(name)],
                             capture_output=True, text=True, timeout=60)
    check(f"{name}: the log is whole", verdict.returncode == 10, verdict.stdout + verdict.stderr)


def check_refused(place, name):
    """Connections beyond what the policy allows are refused without a fault: the flood of them has its record, and not one each."""
    refused = [details["count"] for record in read_log(place, name) if record["metadata"]["event_code"] == "cap_reached"
               for details in [record["unmapped"]["cofferdam"]["details"]] if details["cap"] == "connections"]
    check(f"{name}: the log has the connections that were refused", CASES or sum(refused) > CONNECTIONS, refused)
    check(f"{name}: and not each connection", len(refused) < 20, len(refused))


def check_denied(place, name):
    """What the policy does not let pass is no fault either."""
    denied = [record["unmapped"]["cofferdam"]["details"] for record in read_log(place, name)
              if record["metadata"]["event_code"] == "frames_denied"]
    for device, reasons in DENIALS.items() if not CASES else []:
        had = {detail["denial"] for detail in denied if detail["device"] == device}
        check(f"{name}: the log has each reason to deny what {device} was given", reasons <= had, reasons - had)
    check(f"{name}: and not each time", len(denied) < 20 * sum(map(len, DENIALS.values())), len(denied))


def spins_alone(place, name, vcpus, words, number):
    process = place.start(f"again{number}-{name}", vcpus, f"{words} {Heed.WORD} case={number}", "1min")
    processes, took, heed = {}, [], Heed()
    for line in lines_of(process, 60):
        for pid in children(process.pid) if not processes else []:
            processes[pid] = Process(pid)
        used = max(member.sample() for member in processes.values()) if processes else 0
        took += [used] if re.search(rb"case \d+ ", line) else []
        heed.answer(line, processes)
    heed.end()
    process.stdout.close()
    process.wait(30)
    spins = not took or max(took) > CPU_NS
    if spins:
        print(f"  case {number} again, alone: {took} ns {'' if took else place.said()[-300:]}", flush=True)
    return spins


def spins_again(*arguments):
    """On a machine that is busy, or that another one has on loan, a process is charged for time that it did not have. One that
    really spins does it each time."""
    return all(spins_alone(*arguments) for _ in range(TRIES))


def run_all(place, name, vcpus, words, watch, jailed):
    """One boot through all cases. `watch`: the processes are as they are delivered, so their processor time means something;
    `jailed`: their memory does."""
    heeded = Heed.WORD if watch and not SLOW else ""
    process, output, processes, number, count = place.start(name, vcpus, f"{words} {heeded}", LONG), [], {}, 0, 0
    bad, spun, expected, may, devices, cases = [], [], set(), set(), set(), Cases()
    observer, frames, mute = network.Observer() if with_network else None, [], []
    log, sizes, heed = None, [], Heed()
    for line in lines_of(process, LONG_S):
        output.append(line)
        case = CASE.search(line)
        for pid in children(process.pid) if not processes else []:
            processes[pid] = Process(pid)
        took = [(member.sample(), member.name) for member in processes.values()]
        frames += observer.read() if observer else []
        if not case:
            heed.answer(line, processes)
            continue
        if int(case[1]) % INSPECT_EVERY == 0 and not CASES:
            mute += inspect(place, name)
            for member in processes.values():
                member.sample()
        device, fault, verdict = case[2].decode(), case[7].decode(), case[9]
        if int(case[1]) <= number or verdict != b"ok":
            bad.append(line.decode(errors="replace"))
        if watch and max(took)[0] > CPU_NS:
            spun.append((max(took)[0], int(case[1]), f"{max(took)}: {line.decode(errors='replace')}"))
        if count == 0 or device == "machine.0":  # these come last
            for member in processes.values():
                member.count_files()
        number, count, log = int(case[1]), count + 1, log or place.log(name)
        sizes.append((os.path.getsize(log), number))
        devices.add(device)
        cases.add(device, int(case[3]), case[4].decode(), case[5].decode())
        if fault == "any":
            may |= {(DEVICES.get(name, name), text) for name in [device, *DEVICES] for text in FAULTS.values()}
        elif fault != "-":
            expected.add((DEVICES.get(device, device), FAULTS[fault]))
        heed.answer(line, processes)
    heed.end()
    status = status_of(process)
    check(f"{name}: ends with 0", status == 0, f"{status}\n{place.said()}\n{output[-3:]}")
    for promise, held, wrong in cases.promises(vcpus == 2, with_network, DEVICES.keys() - NO_TARGETS, output) if not CASES else []:
        check(f"{name}: {promise}", held, "\n".join(wrong))
    check(f"{name}: the VM answered all the while", not mute, mute)
    check(f"{name}: the guest counted as many", any(b"hostile guest: %d cases, 0 failed" % count in line for line in output),
          output[-1:])
    check(f"{name}: every case has its outcome", not bad, "\n".join(bad))
    check(f"{name}: every device was attacked", devices == {*DEVICES, "machine.0"} or CASES, devices ^ {*DEVICES, "machine.0"})
    grew = [f"case {number}: {size - before} bytes" for (before, _), (size, number) in zip(sizes, sizes[1:])
            if size - before > LOG_GROWTH]
    check(f"{name}: no case floods the log", not grew, "\n".join(grew))
    check(f"{name}: the terminal got text", HARMLESS.fullmatch(b"\n".join(output)),
          [line for line in output if not HARMLESS.fullmatch(line)])
    if watch and not SLOW:
        suspects = sorted(spun, reverse=True)[:SUSPECTS]
        found = next((text for _, number, text in suspects if spins_again(place, name, vcpus, words, number)), None)
        check(f"{name}: no process spins", found is None, found)
    if jailed:
        for member in processes.values():
            check(f"{name}: {member.name} does not grow", member.most - (member.first or 0) <= MEMORY_KIB,
                  f"from {member.first} to {member.most} KiB")
            check(f"{name}: {member.name} asks for no memory", len(member.had) == 1, f"{member.had} KiB")
            check(f"{name}: {member.name} keeps no file open", min(member.files[-LAST:], default=0) <= min(member.files[:1], default=0),
                  f"{member.files[:1]}, then {member.files[-LAST:]}")
        check(f"{name}: all were watched", len(processes) == 3 + len({*DEVICES.values()}), [member.name for member in processes.values()])
    if observer:
        frames += observer.read()
        wrong = [frame[:90].hex() for frame in frames if not may_leave(frame)]
        check(f"{name}: of {len(frames)} frames none that may not leave", frames and not wrong, "\n".join(wrong))
    check_denied(place, name)
    check_log(place, name, expected, may)
    check_refused(place, name)
    kept = [os.path.getsize(f"{place.path}/{file}") for file in os.listdir(place.path) if file == f"{name}.over.overlay"]
    check(f"{name}: what is kept of the overlay is bounded", len(kept) == vcpus - 1 and sum(kept) < 2 * len(IMAGE), kept)
    place.expect_clean(name)
    print(f"  {name}: {count} cases, {len(expected)} kinds of fault in the log", flush=True)


def run_kind(place, fault):
    """One boot through the cases that must bring about this kind of fault, `-`: none. The log has one line for each kind and
    device, so only a run without the others tells whether each case's own kind is what it was."""
    name = f"kind-{fault if fault != '-' else 'none'}"
    process, expected, bad, count = place.start(name, 1, f"alone fault={fault}", LONG), set(), [], 0
    for line in lines_of(process, LONG_S):
        case = CASE.search(line)
        if not case:
            continue
        count += 1
        device = case[2].decode()
        if case[7].decode() != fault or case[9] != b"ok":
            bad.append(line.decode(errors="replace"))
        expected |= {(DEVICES.get(device, device), FAULTS[fault])} if fault != "-" else set()
    status = status_of(process)
    check(f"{name}: ends with 0", status == 0, f"{status}\n{place.said()}")
    check(f"{name}: every case has its outcome", count > 0 and not bad, "\n".join(bad))
    check_log(place, name, expected, set())
    print(f"  {name}: {count} cases, of {len(expected)} devices", flush=True)


# What ends the VM: statuses one of which it must end with, and how many vCPUs. What cannot be emulated ends it on some KVMs; others
# tell ring 3 by an exception, and where its delivery meets the same page tables, the run time ends it.
FATAL = {
    "exit-string": ({42}, 1), "reset-port": ({122}, 1), "reset-wide": ({122}, 1), "reset-register": ({122}, 1),
    "sleep": ({0}, 1), "panic": ({124}, 1), "fetch-nowhere": ({1, 125}, 1), "fetch-registers": ({1, 123, 125}, 1),
    "tables-nowhere": ({121, 123, 125}, 1), "tables-registers": ({1, 121, 123, 125}, 1),
    "interrupts-registers": ({123, 125}, 1),
    "halt": ({121}, 1), "secret-register": ({0, 1}, 1), "nmi": ({1}, 1), "init": ({121, 122, 125}, 1),
    "spin-both": ({121}, 2), "end-both": ({7}, 2), "flood-log": ({121}, 1),
}


def run_fatal(place, what):
    statuses, vcpus = FATAL[what]
    process = place.start(what, vcpus, f"fatal={what}", "3s")
    for _ in lines_of(process, 60):
        pass
    status = status_of(process)
    check(f"{what}: ends with one of {statuses}", status in statuses, f"{status}\n{place.said()}")
    codes = [record["metadata"]["event_code"] for record in read_log(place, what)]
    end = "vm_crashed" if status in (123, 124, 125) else "vm_stopped"
    check(f"{what}: the log says how it ended", codes.count(end) == 1, codes)
    check(f"{what}: the log is small", os.path.getsize(place.log(what)) < LOG_BYTES, os.path.getsize(place.log(what)))
    place.expect_clean(what)


def run_build(title, build, watch, jailed):
    print(f"- {title}", flush=True)
    place = Place(build)
    try:
        run_all(place, "hostile-one", 1, CASES or "alone", watch, jailed)
        if not CASES:
            run_all(place, "hostile-two", 2, "hammer", watch, jailed)
        for what in FATAL if not CASES else []:
            run_fatal(place, what)
        for fault in KINDS if watch and not CASES else []:
            run_kind(place, fault)
        with open(f"{place.path}/base.img", "rb") as file:
            check("the image under the overlay is as it was", file.read() == IMAGE)
        check("every line of the logs is an event of OCSF", *are_events(place.path))
    finally:
        place.listeners.end()
        shutil.rmtree(place.path)


CASES = os.environ.get("CASES", "")
SLOW = network.is_emulated()  # then a case's processor time says nothing of ours
LONG_S, LONG = (2400, "40min") if SLOW else (600, "10min")  # of a boot through all cases
KINDS = [] if SLOW else [*FAULTS] + (["-"] if os.environ.get("ROUNDS") == "full" else [])
if not os.access("/dev/kvm", os.W_OK):
    print("  skipped: no usable /dev/kvm\n0 passed, 0 failed, 1 skipped")
    sys.exit(0)
with_network = os.geteuid() == 0 and os.path.exists("/dev/net/tun")
skipped = int(not with_network)
if not with_network:
    print("  skipped: a network needs root and /dev/net/tun")
elif ctypes.CDLL(None).unshare(network.CLONE_NEWNET) != 0:
    print("  FAILED: no network namespace of its own\n0 passed, 1 failed, 0 skipped")
    sys.exit(1)
else:
    DEVICES |= {"network.0": "eth0", "network.0/receive": "eth0"}
    DENIALS["eth0"] = FRAME_DENIALS
builds = {"as delivered": (B, True, True), "traps at undefined behaviour": (f"{B}/trap", False, True),
          "AddressSanitizer, without the jail": (f"{B}/asan", False, False)}
for title, arguments in builds.items() if os.environ.get("ROUNDS") == "full" else [*builds.items()][:1]:
    run_build(title, *arguments)
reports = os.listdir(f"{B}/asan/reports") if os.path.isdir(f"{B}/asan/reports") else []
check("no sanitizer has anything to say", not reports, "\n".join(open(f"{B}/asan/reports/{file}").read() for file in reports))
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(failed != 0)
