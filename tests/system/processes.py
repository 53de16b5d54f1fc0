#!/usr/bin/env python3
"""What the host's /proc says of a running VM's processes is exactly what the design says: ids, capabilities, namespaces,
descriptors, maps, limits, mounts, control group. Started as root, and as an ordinary user (tests/system/as-user) with a
range of ids and with a single one. The same of passt, which is not ours, as far as SECURITY.md promises it. Runs as root, which
sees everything, in a network namespace of its own. Needs B (build folder) and /dev/kvm."""
import ctypes
import glob
import json
import os
import re
import resource
import select
import subprocess
import sys
import tempfile
import time

from events import are_events

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("B", "build"))
COFFERDAM = os.path.join(BUILD, "cofferdam")
VCPUS, MEMORY, OVERHEAD, CONSOLE = 2, 64 << 20, 40 << 20, 1 << 20
NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
OWN, DEVICES = ["auditor", "supervisor", "monitor"], ["entropy", "balloon", "vsock"]
ROLES = []  # of the case
POLICY = """cofferdam: 1
name: seen
kernel: builtin
cmdline: list end=button
machine: {vcpus: 2, memory: 64MiB}
disks:
  - {name: data, path: data.img, access: read-only}
  - {name: scratch, scratch: 1MiB, access: read-write}
NETWORKSballoon: {minimum: 32MiB}
vsock: {cid: CID, path: vsock, limits: {connections: 5}}
limits: {console: 1MiB, cpu: 150%, tasks: 40, memory_overhead: 40MiB}
""".replace("CID", str(1000 + os.getpid()))
NETWORKS = {"tap": "{name: tap, tap: cfs0, create: {address: 10.7.0.1}, addresses: [10.7.0.7]}",
            "passt": "{name: passt, passt: on, addresses: [10.8.0.7]}"}
PASST_OF = 28  # of the range's ids, the first of four that no process of ours has
counts = {"passed": 0, "failed": 0, "skipped": 0}


def check(name, is_, wanted):
    if is_ == wanted:
        counts["passed"] += 1
    else:
        counts["failed"] += 1
        print(f"  FAILED: {name}: is {is_!r}, not {wanted!r}")


def skip(name):
    counts["skipped"] += 1
    print(f"  skipped: {name}")


def read(*path):
    with open(os.path.join("/proc", *map(str, path)), encoding="utf-8", errors="replace") as file:
        return file.read()


def status(*path):
    return {line.partition(":")[0]: line.partition(":")[2].split() for line in read(*path, "status").splitlines()}


def ids(name, pid, case):
    first = case["first"] or 0
    facts = status(pid)
    role = {"auditor": 3, "supervisor": 1, "monitor": 2}.get(name) or 4 + ROLES.index(name) - 3
    own = [str(case["uid"] if case["single"] else first + role)] * 4
    first_ones = {"auditor": ["1"], "supervisor": ["1"], "monitor": ["2"]}  # then the monitor's threads have numbers too
    check(f"{name}: pid in its namespace", facts["NSpid"][1:], first_ones.get(name, facts["NSpid"][1:2]))
    check(f"{name}: uid map", read(pid, "uid_map").split(),
          ["1", str(case["uid"]), "1"] if case["single"] else ["0", str(first), "32"])
    # The kernel's own worker in the process that runs a VM is a thread of it.
    threads = [status(pid, "task", thread) for thread in os.listdir(f"/proc/{pid}/task")]
    workers = [facts for facts in threads if facts["Name"][0].startswith("kvm-")]
    check(f"{name}: threads", len(threads) - len(workers), 1 + VCPUS if name == "monitor" else 1)
    check(f"{name}: kernel's workers at most", len(workers) <= (name == "monitor"), True)
    # A thread begins with what the one that made it has, and none is made before that was verified.
    for facts in threads:
        check(f"{name}: a thread's uid, gid, groups", [facts[key] for key in ("Uid", "Gid", "Groups")],
              [own, own, case["groups"] if case["single"] else []])
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            check(f"{name}: {kind}", int(facts[kind][0], 16), 0)
        check(f"{name}: no_new_privs, seccomp, filters",
              [facts[key][0] for key in ("NoNewPrivs", "Seccomp", "Seccomp_filters")], ["1", "2", "1"])


def namespaces(pids):
    inside = subprocess.run(["nsenter", "--preserve-credentials", f"--user=/proc/{pids['monitor']}/ns/user", "cat",
                             "/proc/sys/user/max_user_namespaces"], stdout=subprocess.PIPE, text=True, check=False)
    check("no further user namespaces", inside.stdout.strip(), "0")
    def of(pid, kind):
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    for kind in NAMESPACES:
        ours = {of(pid, kind) for name, pid in pids.items() if name != "auditor"}
        check(f"one {kind} namespace for the VM", len(ours), 1)
        check(f"the {kind} namespace is not the host's", of("self", kind) in ours | {of(pids["auditor"], kind)}, False)
        check(f"the auditor's {kind} namespace", of(pids["auditor"], kind) in ours, kind != "pid")


SOCKET, EVENT, NULL = r"socket:\[\d+\]", r"anon_inode:\[eventfd\]", "/dev/null"


def descriptors_of(name, case):
    """number: pattern; the design's table (monitor/protocol.h, jail/descriptors.h)"""
    devices = len(ROLES) - 3
    if name == "auditor":
        return {0: SOCKET, 4: SOCKET, 5: re.escape(case["place"]) + r"/log/seen-[^/]*\.jsonl"}
    if name == "supervisor":
        return {0: SOCKET, 4: SOCKET, 5: NULL} | {6 + i: SOCKET for i in range(1 + devices)}
    if name == "monitor":
        table = {0: SOCKET, 1: EVENT, 5: "/memfd:ram.*"}
        for i in range(devices):
            table |= {8 + 4 * i: SOCKET, 9 + 4 * i: "/memfd:registers.*", 10 + 4 * i: EVENT, 11 + 4 * i: EVENT}
        end = 8 + 4 * devices
        return table | {end: "anon_inode:kvm-vm"} | {end + 1 + i: f"anon_inode:kvm-vcpu:{i}" for i in range(VCPUS)}
    backend = {"console": (NULL, re.escape(case["place"]) + "/output"), "data": (re.escape(case["place"]) + "/data.img", NULL),
               "scratch": ("/memfd:.*", NULL), "entropy": (NULL, NULL), "balloon": (NULL, NULL), "vsock": (SOCKET, NULL),
               "tap": ("/dev/net/tun", "/dev/net/tun"), "passt": (SOCKET, SOCKET)}[name]
    return {0: SOCKET, 4: "/memfd:ram.*", 5: "/memfd:registers.*", 6: EVENT, 7: EVENT, 8: SOCKET,
            9: backend[0], 10: backend[1]}


def descriptors(name, pid, case):
    wanted = descriptors_of(name, case)
    have = {int(number): os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    check(f"{name}: descriptors", sorted(have), sorted(wanted))
    for number, pattern in wanted.items():
        target = have.get(number, "")
        check(f"{name}: descriptor {number} is {target}", re.fullmatch(pattern, target) is not None, True)
    flags = {"auditor": (5, os.O_WRONLY | os.O_APPEND), "data": (9, os.O_RDONLY)}.get(name)
    if flags:
        octal = re.search(r"^flags:\s*(\d+)", read(pid, "fdinfo", flags[0]), re.M).group(1)
        check(f"{name}: backend's mode", int(octal, 8) & (os.O_ACCMODE | os.O_APPEND), flags[1])


def maps(name, pid):
    program = os.path.join(BUILD, "cofferdam-" + (name if name in ROLES[:3] else "device"))
    shared = {"supervisor": [], "auditor": [], "monitor": ["ram", "registers"]}.get(name, ["ram", "registers"])
    memfds = {f"/memfd:{memfd} (deleted)" for memfd in ["plan", "report"] + shared}
    allowed = {program, "", "[heap]", "[stack]", "[vdso]", "[vsyscall]", "[vvar]", "[vvar_vclock]"} | memfds
    allowed |= {f"anon_inode:kvm-vcpu:{i}" for i in range(VCPUS)} if name == "monitor" else set()
    lines = [line.split(maxsplit=5) for line in read(pid, "maps").splitlines()]
    paths = {line[5] if len(line) > 5 else "" for line in lines}
    check(f"{name}: maps nothing else", paths - allowed, set())
    check(f"{name}: maps what it should", memfds - paths, set())
    check(f"{name}: nothing writable and executable", [line for line in lines if "w" in line[1] and "x" in line[1]], [])
    check(f"{name}: executes its program and the vDSO alone",
          {line[5] if len(line) > 5 else "" for line in lines if "x" in line[1]} - {program, "[vdso]", "[vsyscall]"}, set())
    for i, line in enumerate(lines):
        if len(line) < 6 or line[5] != "/memfd:ram (deleted)":
            continue
        check(f"{name}: guard pages around the guest's memory", (lines[i - 1][1], lines[i + 1][1]), ("---p", "---p"))
        check(f"{name}: and they touch it", (lines[i - 1][0].split("-")[1], lines[i + 1][0].split("-")[0]),
              tuple(line[0].split("-")))
        entry = re.search(rf"^{line[0]} .*?^VmFlags: ([^\n]*)", read(pid, "smaps"), re.M | re.S).group(1).split()
        check(f"{name}: guest memory is left out of dumps, and of merging", ("dd" in entry, "mg" in entry), (True, False))


def limits(name, pid, case):
    devices = len(ROLES) - 3
    files = {"auditor": 6, "supervisor": 6 + 1 + devices + 9 - 3, "monitor": 8 + 4 * devices + 1 + VCPUS, "vsock": 14}.get(name, 11)
    tasks = 3 + devices + VCPUS + 1 if case["single"] else VCPUS + 2 if name == "monitor" else 1
    before = sum(len(line) for line in read(case["place"], "output").splitlines(True) if "file system of the logs" in line)
    size = {"auditor": "unlimited", "scratch": str(1 << 20), "console": str(CONSOLE + (16 << 20) + before)}.get(name, "0")
    table = {re.split(r"\s{2,}", line)[0]: re.split(r"\s{2,}", line)[1:3] for line in read(pid, "limits").splitlines()}
    for key, wanted in {"open files": str(files), "processes": str(tasks), "file size": size, "core file size": "0",
                        "locked memory": "0", "file locks": "0", "msgqueue size": "0", "realtime priority": "0", "nice priority": "0",
                        "stack size": str(1 << 20)}.items():
        check(f"{name}: limit on {key}", table["Max " + key], [wanted, wanted])


def rest(name, pid, case):
    kind = name if name in ROLES[:3] else "device"
    role = {"auditor": 3, "supervisor": 1, "monitor": 2}.get(name) or 4 + ROLES.index(name) - 3
    check(f"{name}: arguments", read(pid, "cmdline"), f"cofferdam-{kind}\0{role}\0")
    check(f"{name}: environment", read(pid, "environ"), "")
    mounts = [line.split() for line in read(pid, "mountinfo").splitlines()]
    check(f"{name}: mounts", [(m[3], m[4], set(m[5].split(",")) - {"relatime"}, m[m.index("-") + 1]) for m in mounts],
          [("/", "/", {"ro", "nosuid", "nodev", "noexec"}, "tmpfs")])
    check(f"{name}: root is empty", os.listdir(f"/proc/{pid}/root"), [])
    check(f"{name}: directory", os.readlink(f"/proc/{pid}/cwd"), "/")
    may = int(status("self")["CapEff"][0], 16) >> 24 & 1  # CAP_SYS_RESOURCE
    is_spared = name == "auditor" and case["user"] is None and may
    check(f"{name}: spared when memory is short", int(read(pid, "oom_score_adj")),
          -1000 if is_spared else max(0, int(read(case["launcher"], "oom_score_adj"))))
    check(f"{name}: before others", os.getpriority(os.PRIO_PROCESS, pid), max(0, os.getpriority(os.PRIO_PROCESS, case["launcher"])))
    groups = dict(line.split(":", 2)[1:] for line in read(pid, "cgroup").splitlines())
    for controllers, path in groups.items():
        if set(controllers.split(",")) & {"memory", "pids", "cpu"} or case["unified"] and controllers == "":
            check(f"{name}: control group of {controllers or 'v2'}", path.endswith(case["group"]), case["cgroup"])


def is_passt(pid):
    try:
        return read(pid, "cmdline").startswith("/usr/bin/passt\0")
    except OSError:
        return False


def is_ours(pid, name):
    try:
        return read(pid, "comm") == name + "\n"
    except OSError:
        return False


def passt(pid, case, ours):
    """Not ours, and so not in our jail: what it promises of itself, and we of it."""
    facts = status(pid)
    own = [str(case["uid"] if case["user"] is not None else case["first"] + PASST_OF + case["networks"].index("passt"))] * 4
    check("passt: uid", facts["Uid"], own)
    check("passt: gid", facts["Gid"], own)
    check("passt: groups", facts["Groups"], [] if case["user"] is None else case["groups"])
    check("passt: a uid that no process of ours has", own[0] in [status(p)["Uid"][0] for p in ours.values()], case["single"])
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        check(f"passt: {kind}", int(facts[kind][0], 16), 0)
    check("passt: no_new_privs, seccomp", [facts[key][0] for key in ("NoNewPrivs", "Seccomp")], ["1", "2"])
    check("passt: one thread", facts["Threads"], ["1"])
    for kind in NAMESPACES:
        there, host = os.readlink(f"/proc/{pid}/ns/{kind}"), os.readlink(f"/proc/self/ns/{kind}")
        check(f"passt: the host's {kind} namespace", there == host, kind in ("net", "pid", "cgroup"))
        vm = {os.readlink(f"/proc/{p}/ns/{kind}") for name, p in ours.items() if name != "auditor"}
        check(f"passt: the VM's {kind} namespace", there in vm, False)
    check("passt: root is empty", os.listdir(f"/proc/{pid}/root"), [])
    check("passt: environment", read(pid, "environ"), "")
    have = {int(number): os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    check("passt: what we gave it", [have.get(0), have.get(1), have.get(2, "").split(":")[0], have.get(3, "").split(":")[0]],
          [NULL, NULL, "/memfd", "socket"])
    rest_of_it = {number: target for number, target in have.items() if number > 3}
    check("passt: and what it made, no file, no device",
          {number: target for number, target in rest_of_it.items() if not re.match(r"(socket|pipe|anon_inode):", target)}, {})
    devices = {os.readlink(f"/proc/{p}/fd/{number}") for name, p in ours.items() for number in os.listdir(f"/proc/{p}/fd")}
    check("passt: holds nothing that a process of ours holds but /dev/null", {*have.values()} & devices, {NULL})


def host_auditor(pid, case, launcher):
    """Writes the host's log when the VM ends: what the launcher beside it cannot, which has no capability left."""
    end = time.monotonic() + 30  # while it writes the start, it holds a pipe as well; then it is in recvfrom, 45
    while read(pid, "syscall").split()[0] != "45" and time.monotonic() < end:
        select.select([], [], [], 0.02)
    facts, held = status(pid), {int(n): os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
    is_root, key = case["user"] is None, f"{case['place']}/log/host.key"
    kept = 1 << 0 | 1 << 1 if is_root else 0  # CAP_CHOWN, CAP_DAC_OVERRIDE
    check("host's auditor: uid", facts["Uid"], [str(case["uid"])] * 4)
    check("host's auditor: capabilities", [int(facts[kind][0], 16) for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb")],
          [kept, kept, 0, 0])
    check("host's auditor: no_new_privs, seccomp, filters",
          [facts[key][0] for key in ("NoNewPrivs", "Seccomp", "Seccomp_filters")], ["1", "2", "1"])
    check("host's auditor: descriptors", (sorted(held), [held.get(n) for n in range(3)]), ([0, 1, 2, 3], [NULL] * 3))
    check("host's auditor: its channel", re.fullmatch(SOCKET, held.get(3, "")) is not None, True)
    check("the launcher's capabilities", [int(status(launcher)[kind][0], 16) for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb")],
          [0] * 4)
    if is_root:
        check("its bounding set is empty, and the launcher's", [int(status(p)["CapBnd"][0], 16) for p in (pid, launcher)], [0, 0])
        bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
        for words, can in ([*bare, "cat"], False), (["cat"], True):
            read_it = subprocess.run([*words, key], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            check(f"the host's key is read by root {'as usual' if can else 'without capabilities'}", read_it.returncode == 0, can)


def group_files(case, launcher, pid):
    """The caps, as the kernel has them."""
    if not case["cgroup"]:
        return
    wanted = MEMORY + (1 << 20) + OVERHEAD
    for line in read("self", "mountinfo").splitlines():
        words = line.split()
        kind, point, options = words[words.index("-") + 1], words[4], words[-1].split(",")
        path = next((p for c, p in (l.split(":", 2)[1:] for l in read(pid, "cgroup").splitlines())
                     if kind == "cgroup2" and c == "" or kind == "cgroup" and set(c.split(",")) & set(options)), None)
        if path is None or not path.endswith(case["group"]):
            continue
        files = {"memory.max": wanted, "memory.swap.max": 0, "memory.oom.group": 1, "pids.max": 40,
                 "cpu.max": "150000 100000", "memory.limit_in_bytes": wanted, "memory.swappiness": 0,
                 "cpu.cfs_quota_us": 150000, "cpu.cfs_period_us": 100000}
        for file, value in files.items():
            if os.path.exists(f"{point}{path}/{file}"):
                with open(f"{point}{path}/{file}", encoding="utf-8") as text:
                    check(f"{file}", text.read().strip(), str(value))
                case["caps"] = case.get("caps", 0) + 1
    check("caps were found", case.get("caps", 0) >= 3, True)


def inspected(case, pids):
    """`inspect` says the same, for each process and layer."""
    owner = [] if case["user"] is None else [os.path.join(HERE, "as-user")] + case["user"]
    asked = subprocess.run(owner + [COFFERDAM, "--host", case["place"] + "/host.yaml", "inspect", "--json", "seen"],
                           stdout=subprocess.PIPE, check=False)
    check("inspect", asked.returncode, 0)
    facts = json.loads(asked.stdout)
    answer = {process.get("device", process["process"]): process for process in facts["processes"]}
    check("inspect has the control group's name", facts.get("control_group"),
          os.path.basename(case["group"]) if case["cgroup"] else None)
    check("inspect has every process", {name: process["pid"] for name, process in answer.items()}, pids)
    for name, process in answer.items():
        layers = {layer["layer"]: layer for layer in process["jail"]}
        check(f"{name}: every layer", set(layers), {"namespaces", "root", "ids", "capabilities", "descriptors", "dumpable",
              "rlimits", "no_new_privs", "landlock", "mdwe", "seccomp", "speculation", "memory_files", "cgroup"})
        optional = {"mdwe", "speculation", "memory_files"} | (set() if case["cgroup"] else {"cgroup"})
        check(f"{name}: states", {layer["state"] for key, layer in layers.items() if key not in optional},
              {"verified", "in force"} if case["cgroup"] else {"verified"})
        check(f"{name}: uid", layers["ids"]["detail"].split(",")[0], "uid " + status(pids[name])["Uid"][0])
        if case["user"] is None:  # who has another uid than a process is not told its namespaces
            check(f"{name}: namespaces", layers["namespaces"]["detail"],
                  f"{len(NAMESPACES)} apart from the launcher's")
        check(f"{name}: root", layers["root"]["detail"].startswith("one mount: ro,nosuid,nodev,noexec"), True)
        check(f"{name}: Landlock", int(layers["landlock"]["detail"].split()[1]) >= 1, True)
        check(f"{name}: filters", len(re.findall(r"(main|vcpu) [1-9]", layers["seccomp"]["detail"])),
              2 if name == "monitor" else 1)


def children(pid):
    """Of ours, passts, and the host's auditors."""
    all_ = [int(line.split()[0]) for line in subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], text=True,
                                                            stdout=subprocess.PIPE, check=False).stdout.splitlines()]
    passts, auditors = [pid for pid in all_ if is_passt(pid)], [pid for pid in all_ if is_ours(pid, "host-auditor")]
    return [pid for pid in all_ if pid not in passts + auditors], passts, auditors


def come_first():
    """What a launcher may have, as far as this process may give it, and a VM has not."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -5)
        resource.setrlimit(resource.RLIMIT_NICE, (30, 30))
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("-500")
    except (OSError, ValueError):
        pass


def start(case, command):
    output = os.path.join(case["place"], "output")
    with open(output, "wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, preexec_fn=come_first)
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with open(output, encoding="utf-8", errors="replace") as file:
            if "power button" in file.read() and len(children(process.pid)[0]) == len(ROLES):
                return process
        select.select([], [], [], 0.05)
    with open(output, encoding="utf-8", errors="replace") as file:
        check(f"{case['name']}: the VM starts", file.read(), "a prompt for the power button")
    process.kill()
    process.wait()
    return None


def one(case):
    print("-", case["name"])
    ROLES[:] = [*OWN, "console", "data", "scratch", *case["networks"], *DEVICES]
    place = case["place"] = tempfile.mkdtemp(prefix="cofferdam-seen-")
    os.chmod(place, 0o755)
    with open(f"{place}/host.yaml", "w", encoding="utf-8") as file:
        file.write(f'cofferdam: 1\nfolders: {{runtime: "{place}/run", audit: "{place}/log"}}\n')
    with open(f"{place}/seen.yaml", "w", encoding="utf-8") as file:
        networks = ", ".join(NETWORKS[kind] for kind in case["networks"])
        file.write(POLICY.replace("NETWORKS", f"networks: [{networks}]\n" if networks else "") + case.get("policy", ""))
    with open(f"{place}/data.img", "wb") as file:
        file.truncate(1 << 20)
    with open(f"{place}/output", "wb"):
        pass
    command = [COFFERDAM, "--host", f"{place}/host.yaml", "run", f"{place}/seen.yaml"]
    if case["user"] is not None:
        subprocess.run(["chown", "-R", f"{case['uid']}:{case['uid']}", place], check=True)
        command = [os.path.join(HERE, "as-user")] + case["user"] + command
    launcher = start(case, command)
    if launcher:
        ours, passts, auditors = children(launcher.pid)
        pids = dict(zip(ROLES, sorted(ours)))
        case["launcher"] = launcher.pid
        runtime = os.stat(f"{place}/run")
        case["group"] = f"/cofferdam/seen.{runtime.st_dev:x}-{runtime.st_ino:x}"
        if not case["single"]:
            first = int(status(pids["supervisor"])["Uid"][0]) - 1
            check("the ids are of a range that is the caller's", (first in case["range"], (first - case["range"][0]) % 32),
                  (True, 0))
            case["first"] = first
        for name, pid in pids.items():
            ids(name, pid, case)
            descriptors(name, pid, case)
            maps(name, pid)
            limits(name, pid, case)
            rest(name, pid, case)
        check(f"{case['name']}: one passt", len(passts), case["networks"].count("passt"))
        for pid in passts:
            passt(pid, case, pids)
        check(f"{case['name']}: one host's auditor", len(auditors), 1)
        for pid in auditors:
            host_auditor(pid, case, launcher.pid)
        namespaces(pids)
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            check(f"{case['name']}: the launcher's {kind}", int(status(launcher.pid)[kind][0], 16), 0)
        inspected(case, pids)
        group_files(case, launcher.pid, pids["monitor"])
        launcher.terminate()
        check(f"{case['name']}: the guest powers off", launcher.wait(30), 0)
        recorded(case, len(pids))
    check(f"{case['name']}: every line of the logs is an event of OCSF", are_events(place)[0], True)
    subprocess.run(["rm", "-rf", place], check=True)


def recorded(case, processes):
    """The log has each process's control group, as the kernel has it."""
    started = []
    for path in glob.glob(f"{case['place']}/log/seen-*.jsonl"):
        with open(path, encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        started += [record["unmapped"]["cofferdam"]["details"] for record in records
                    if record["metadata"]["event_code"] == "process_started"]
    check(f"{case['name']}: each process's start is in the log", len(started), processes)
    for details in started:
        check(f"{case['name']}: {details['process']}: its control group is in the log",
              details.get("cgroup", "").endswith(case["group"]), case["cgroup"])


def main():
    if os.geteuid() != 0 or not os.access("/dev/kvm", os.W_OK):
        skip("needs root and /dev/kvm")
        return 0
    import network  # its helpers: interfaces of a namespace of our own
    if network.libc.unshare(network.CLONE_NEWNET) != 0:
        check("a network namespace of its own", os.strerror(ctypes.get_errno()), "")
        return 1
    with_tap = os.path.exists("/dev/net/tun")
    if with_tap:  # a way out, for passt
        network.interface("lo", network.SIOCSIFFLAGS, network.IFF_UP)
        network.make_tap("cft9")
        for words in (f"addr add {network.OUTER}/24 dev cft9", "link set cft9 up", "route add default via 10.9.0.2"):
            subprocess.run(["ip", *words.split()], check=True)
    else:
        skip("networks: there is no /dev/net/tun")
    with_passt = ["passt"] if with_tap and os.path.exists("/usr/bin/passt") else []
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    usual = {"user": None, "single": False, "uid": 0, "groups": [], "first": None, "unified": unified,
             "range": range(1879048192, 1879048192 + 65536), "cgroup": True,
             "networks": ["tap"] * with_tap + with_passt}
    without = "" if unified else "jail: {no_cgroup: allow}\n"
    user = usual | {"networks": with_passt, "uid": 54321, "groups": ["54321", "54322"], "cgroup": unified}
    one(usual | {"name": "started by root"})
    one(user | {"name": "started by a user with a range of ids", "user": ["--range", "--able"],
                "range": range(2000000000, 2000065536), "policy": without})
    one(user | {"name": "started by a user with a single id", "user": [], "single": True,
                "policy": "jail: {single_uid: allow%s}\n" % ("" if unified else ", no_cgroup: allow")})
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return counts["failed"] != 0


sys.exit(main())
