#!/usr/bin/env python3
"""The policy's commands, with the real program: what the tests of policy/ promise of the language holds for what an
operator runs, the process that reads YAML included. Needs B (build folder); a few VMs need a usable /dev/kvm. Every wait is
bounded. Names of parts on the command line run those alone."""
import datetime
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import jsonschema
import yaml

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("B", "build"))
COFFERDAM = os.path.join(BUILD, "cofferdam")
HEAD = "cofferdam: 1\nname: a\nkernel: builtin\nmachine: {memory: 64MiB}\n"
counts = {"passed": 0, "failed": 0}


def check(name, good, detail=""):
    counts["passed" if good else "failed"] += 1
    if not good:
        print(f"  FAILED: {name} {detail}")


def write(path, text, mode=0o644):
    with open(path, "w" if isinstance(text, str) else "wb") as file:
        file.write(text)
    os.chmod(path, mode)


def run(*words, cwd=None, timeout=60):
    return subprocess.run([COFFERDAM, *words], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)


def expect(name, result, status, *patterns):
    shown = result.stdout + result.stderr
    good = result.returncode == status and all(pattern in shown for pattern in patterns)
    check(name, good, f"status {result.returncode}, not {status}, or nothing like {patterns} in:\n{shown}")


def host_file(place):
    path = os.path.join(place, "host.yaml")
    write(path, f"cofferdam: 1\nfolders: {{runtime: {place}/run, audit: {place}/log, state: {place}/state}}\n")
    return path


def goldens(place):
    """`check` says of every mistake in tests/policy what the unit tests say, to the byte."""
    folder = os.path.join(place, "golden")
    os.mkdir(folder)
    for path in sorted(glob.glob(os.path.join(TOP, "tests/policy/*.yaml"))):
        name = os.path.basename(path)[:-5]
        if name.startswith(("good-", "host-")) or os.path.exists(path[:-5] + ".host") or name.startswith("extends-from"):
            continue
        shutil.copyfile(path, os.path.join(folder, name + ".yaml"))
        os.chmod(os.path.join(folder, name + ".yaml"), 0o644)
        with open(path[:-5] + ".expected", encoding="utf-8") as file:
            expected = file.read()
        result = run("check", name + ".yaml", cwd=folder)
        check(f"check {name}", result.returncode == 2 and result.stderr == expected, result.stderr)


def bounds(place):
    """Whatever a file says, reading it ends, within the memory and time that it gets, and says why it is refused."""
    path = os.path.join(place, "large.yaml")
    units = ["[", "{", "- ", "? ", "a: {", "- - ", "'", '"', "# x\n", "a\n", "a: b\n", "*a ", "&a ", "!a ", "|\n ", "\\",
             "[a, ", "a: [", "- a\n", "a: |\n  x\n", "? - ", ": ", "a: 'b\n  c'\n", '"\\u00e9" ', "x" * 5000 + " "]
    for unit in units:
        write(path, (unit * 65536)[:65536])
        result = run("check", path)
        shown = result.stderr
        check(f"65536 bytes of {unit[:8]!r}", result.returncode == 2 and "error:" in shown and "process" not in shown, shown)
    write(path, "cofferdam: 1\nname: a\nkernel: builtin\n" + "#" * 65400)
    expect("a file of nearly the largest size", run("check", path), 0, "no mistakes")


def refused_keys(place):
    """Keys that no build enforces yet are checked, and refused by `run` and `plan`."""
    path = os.path.join(place, "refused.yaml")
    keys = {"networks: [{name: eth0, tap: t0, addresses: [10.0.0.7]}]": "this build has no network device",
            "vsock: {cid: 7, path: v.sock}": "this build has no vsock device",
            "balloon: {minimum: 64MiB}": "this build has no balloon device",
            "control: {operators: [deploy]}": "this build has no roles"}
    for line, why in keys.items():
        write(path, HEAD + line + "\n")
        expect(f"check {line}", run("check", path), 0, "no mistakes", why)
        expect(f"plan {line}", run("plan", path), 125, why, "refused.yaml:5:")
        expect(f"run {line}", run("run", path), 125, why, "refused.yaml:5:")


def limited_disk(place):
    """A disk's cap is what `explain` says holds it: the guest's disk tests take the time that the cap makes them take."""
    path, host = os.path.join(place, "limited.yaml"), host_file(place)
    write(path, HEAD + "disks: [{name: s, scratch: 1MiB, limits: {bandwidth: 64KiB/s, operations: 10/s}}]\n")
    expect("a cap is explained", run("explain", "disks[s].limits", path), 0, "64KiB/s", "the disk's device process")
    start = time.monotonic()
    expect("a limited disk", run("--host", host, "run", path), 0, "all well")
    check("it takes longer", time.monotonic() - start > 0.5, time.monotonic() - start)


def layers(place):
    """The host file's ceilings and a base reach what is planned."""
    host = os.path.join(place, "ceilings.yaml")
    write(host, f"cofferdam: 1\nfolders: {{runtime: {place}/run, audit: {place}/log}}\n"
                "ceilings: {limits: {run_time: 1h}}\ndefaults: {limits: {tasks: 40}}\n")
    path = os.path.join(place, "layers.yaml")
    write(os.path.join(place, "base.yaml"), "cofferdam: 1\nmachine: {vcpus: 2, memory: 64MiB}\n")
    write(path, "cofferdam: 1\nname: a\nkernel: builtin\nextends: base.yaml\n")
    result = run("--host", host, "plan", "--json", path)
    values = {value["key"]: value for value in json.loads(result.stdout)["values"]}
    check("a ceiling lowers a default", values["limits.run_time"]["value"] == "1h", values["limits.run_time"])
    check("the ceiling's line is shown", values["limits.run_time"]["line"] == 3, values["limits.run_time"])
    check("the host's default fills in", values["limits.tasks"]["value"] == "40", values["limits.tasks"])
    check("the base's line is shown", values["machine.vcpus"].get("file") == "base.yaml", values["machine.vcpus"])
    write(path, "cofferdam: 1\nname: a\nkernel: builtin\nlimits: {run_time: 2h}\n")
    expect("a ceiling binds", run("--host", host, "run", path), 125, "layers.yaml:4:20", "ceilings.yaml:3")


def pins(place):
    """What is hashed is what runs, or nothing does."""
    host = host_file(place)
    kernel = open(os.path.join(BUILD, "guest/builtin.elf"), "rb").read()
    image = b"cofferdam" * 512
    write(os.path.join(place, "guest.elf"), kernel)
    write(os.path.join(place, "disk.img"), image)

    def policy(kernel_pin, disk_pin):
        path = os.path.join(place, "pins.yaml")
        write(path, f"cofferdam: 1\nname: pins\nkernel: {{path: guest.elf, sha256: {kernel_pin}}}\n"
                    f"machine: {{memory: 64MiB}}\ndisks: [{{name: d, path: disk.img, sha256: {disk_pin}}}]\n")
        return run("--host", host, "run", path)

    right, wrong = hashlib.sha256(kernel).hexdigest(), hashlib.sha256(b"").hexdigest()
    disk = hashlib.sha256(image).hexdigest()
    expect("right pins", policy(right, disk), 0, "all well")
    expect("a wrong kernel", policy(wrong, disk), 125, "kernel is not the file the policy pins")
    expect("a wrong disk", policy(right, wrong), 125, "d is not the file the policy pins")
    os.chmod(os.path.join(place, "disk.img"), 0o664)
    expect("a pinned disk that others can write", policy(right, disk), 125, "can be written by others", "fs-verity")
    os.chmod(os.path.join(place, "disk.img"), 0o644)
    if os.geteuid() == 0:
        os.chown(os.path.join(place, "disk.img"), 12345, 12345)
        expect("a pinned disk of another user", policy(right, disk), 125, "belongs to user 12345")


D = "disks: [{name: a, path: a.img%s}]"
N = "networks: [{name: e, tap: t, addresses: [10.0.0.7%s]%s}]"
PIN = ", sha256: " + "ab" * 32
# From a first policy to a second, by what follows the head: the key that changes and the verdict; None: no change.
PAIRS = [
    ("", "", None, None),
    ("limits: {run_time: 1h}", "limits: {run_time: 2h}", "limits.run_time", "loosened"),
    ("limits: {run_time: 2h}", "limits: {run_time: 1h}", "limits.run_time", "tightened"),
    ("limits: {run_time: 60min}", "limits: {run_time: 1h}", None, None),
    ("limits: {run_time: 24h}", "", None, None),
    ("", "limits: {run_time: 25h}", "limits.run_time", "loosened"),
    ("limits: {cpu: 50%}", "", "limits.cpu", "loosened"),
    ("limits: {tasks: 20}", "limits: {tasks: 21}", "limits.tasks", "loosened"),
    ("limits: {console: 1KiB}", "limits: {console: 0KiB}", "limits.console", "tightened"),
    ("limits: {memory_overhead: 64MiB}", "limits: {memory_overhead: 32MiB}", "limits.memory_overhead", "tightened"),
    ("machine: {vcpus: 1, memory: 64MiB}", "machine: {vcpus: 2, memory: 64MiB}", "machine.vcpus", "loosened"),
    ("control: {grace: 5s}", "control: {grace: 6s}", "control.grace", "loosened"),
    ("console: {input: none}", "console: {input: stdin}", "console.input", "loosened"),
    ("console: {escapes: raw}", "console: {escapes: filter}", "console.escapes", "tightened"),
    ("console: {log: a.log}", "console: {log: b.log}", "console.log", "neutral"),
    ("cmdline: a", "cmdline: b", "cmdline", "neutral"),
    ("initrd: {path: a}", "", "initrd.path", "neutral"),
    ("initrd: {path: a}", "initrd: {path: a" + PIN + "}", "initrd.sha256", "tightened"),
    ("initrd: {path: a" + PIN + "}", "initrd: {path: a}", "initrd.sha256", "loosened"),
    (D % "", D % ", access: read-write", "disks[a].access", "loosened"),
    (D % ", access: read-write", D % "", "disks[a].access", "tightened"),
    (D % ", access: read-only", D % "", None, None),
    (D % PIN, D % "", "disks[a].sha256", "loosened"),
    ("", D % "", "disks[a]", "loosened"),
    (D % "", "", "disks[a]", "tightened"),
    ("disks: [{name: a, path: a.img}, {name: b, path: b.img}]", "disks: [{name: b, path: b.img}, {name: a, path: a.img}]",
     "disks", "neutral"),
    ("disks: [{name: a, path: a.img}]", "disks: [{name: a, path: b.img}]", "disks[a].path", "neutral"),
    (D % ", limits: {bandwidth: 1MiB/s}", D % "", "disks[a].limits.bandwidth", "loosened"),
    (D % "", D % ", limits: {operations: 9/s}", "disks[a].limits.operations", "tightened"),
    (D % ", limits: {operations: 8/s}", D % ", limits: {operations: 9/s}", "disks[a].limits.operations", "loosened"),
    ("disks: [{name: a, scratch: 1MiB}]", "disks: [{name: a, scratch: 2MiB}]", "disks[a].scratch", "loosened"),
    ("", N % ("", ""), "networks[e]", "loosened"),
    (N % ("", ""), N % (", 10.0.0.8", ""), "networks[e].addresses", "loosened"),
    (N % (", 10.0.0.8", ""), N % ("", ""), "networks[e].addresses", "tightened"),
    (N % ("", ""), N % ("", ", egress: [{to: 10.0.0.0/24, tcp: [443]}]"), "networks[e].egress", "loosened"),
    (N % ("", ", egress: [{to: 10.0.0.0/24, tcp: [443]}]"), N % ("", ""), "networks[e].egress", "tightened"),
    (N % ("", ", egress: [{to: 10.0.0.0/24, tcp: [443]}]"), N % ("", ", egress: [{to: 10.0.0.0/25, tcp: [443]}]"),
     "networks[e].egress", "tightened"),
    (N % ("", ", egress: [{to: 10.0.0.0/24, tcp: [443]}]"), N % ("", ", egress: [{to: 10.0.0.0/23, tcp: [443]}]"),
     "networks[e].egress", "loosened"),
    (N % ("", ", egress: [{to: 10.0.0.0/24, tcp: [80-90]}]"), N % ("", ", egress: [{to: 10.0.0.0/24, tcp: [85]}]"),
     "networks[e].egress", "tightened"),
    (N % ("", ", egress: [{to: 10.0.0.0/24, tcp: [443]}]"), N % ("", ", egress: [{to: 10.0.0.0/24, tcp: [443], icmp: on}]"),
     "networks[e].egress", "loosened"),
    (N % ("", ""), N % ("", ", limits: {bandwidth: 1Gbit/s}"), "networks[e].limits.bandwidth", "loosened"),
    ("vsock: {cid: 7, path: v}", "", "vsock", "tightened"),
    ("", "vsock: {cid: 7, path: v}", "vsock", "loosened"),
    ("vsock: {cid: 7, path: v}", "vsock: {cid: 7, path: v, guest_may_connect: [5]}", "vsock.guest_may_connect", "loosened"),
    ("vsock: {cid: 7, path: v}", "vsock: {cid: 8, path: v}", "vsock.cid", "neutral"),
    ("control: {operators: [a]}", "control: {operators: [a, b]}", "control.operators", "loosened"),
    ("control: {viewers: [a, b]}", "control: {viewers: [b]}", "control.viewers", "tightened"),
    ("balloon: {minimum: 64MiB}", "", "balloon", "tightened"),
    ("waivers: [{finding: raw-console, until: 2030-01-01, reason: x}]", "", None, None),
]


def differences(place):
    """Each pair has its verdict, and --fail-on-loosen fails exactly on what loosens."""
    first, second = os.path.join(place, "first.yaml"), os.path.join(place, "second.yaml")
    head = "cofferdam: 1\nname: a\nkernel: builtin\n"
    for before, after, key, verdict in PAIRS:
        write(first, head + before + "\n")
        write(second, head + after + "\n")
        result = run("diff", "--json", "--fail-on-loosen", first, second)
        found = [(change["key"], change["verdict"]) for change in json.loads(result.stdout or '{"changes": 0}')["changes"]]
        name = f"diff of {before!r} and {after!r}"
        check(name, (key, verdict) in found if key else found == [], f"gives {found}")
        loosens = any(change[1] == "loosened" for change in found)
        check(name + ": verdict", loosens == (verdict == "loosened"), f"gives {found}")
        check(name + ": status", result.returncode == (1 if loosens else 0), result.returncode)
    check("enough pairs", len(PAIRS) >= 40)
    expect("diff in words", run("diff", first, first), 0, "no difference")
    expect("diff of what is wrong", run("diff", first, os.path.join(place, "missing.yaml")), 2, "No such file")


def explanations(place):
    """`explain` says the value, who set it and what holds the VM to it, of every key."""
    path = os.path.join(place, "explained.yaml")
    write(path, HEAD + "limits: {run_time: 1h}\ndisks: [{name: data, scratch: 1MiB}]\n")
    expect("explain", run("explain", "limits.run_time", path), 0, "limits.run_time: 1h", "explained.yaml:5",
           "the supervisor's timer", "24h", "tests/system/builtin.sh")
    expect("explain a default", run("explain", "limits.tasks", path), 0, "limits.tasks: 64", "nobody: the default")
    expect("explain a disk's key", run("explain", "disks[data].access", path), 0, "disks[data].access: read-write")
    expect("explain of all disks", run("explain", "disks.scratch", path), 0, "disks[data].scratch: 1MiB")
    expect("explain without a policy", run("explain", "machine.memory"), 0, "a size in KiB, MiB or GiB, 16MiB to 1024GiB")
    expect("explain nothing", run("explain", "limits.cpus"), 2, "there is no key")
    every = json.loads(run("explain", "--json", "all").stdout)
    check("every key is explained", len(every) > 50 and all(key["help"] and key["takes"] for key in every), every)
    manual = run("schema", "--man").stdout
    for key in every:
        check(f"manual of {key['key']}", "\n.B " + key["key"].replace("-", "\\-") + "\n" in manual)
    rendered = subprocess.run(["nroff", "-man", "-ww"], input=manual, capture_output=True, text=True, timeout=60, check=False)
    check("the manual page is sound", rendered.returncode == 0 and not rendered.stderr, rendered.stderr)


def schema(place):
    """The JSON Schema takes what `check` takes, and refuses most of what it refuses."""
    del place
    policy_schema = json.loads(run("schema").stdout)
    host_schema = json.loads(run("schema", "--host-file").stdout)
    refused = 0
    for path in sorted(glob.glob(os.path.join(TOP, "tests/policy/*.yaml"))):
        name = os.path.basename(path)
        try:
            with open(path, encoding="utf-8") as file:
                value = yaml.load(file, yaml.BaseLoader)
        except (yaml.YAMLError, UnicodeError, RecursionError):
            continue
        which = host_schema if name.startswith("host-") else policy_schema
        errors = list(jsonschema.Draft202012Validator(which).iter_errors(value))
        if name.startswith("good-"):
            check(f"schema takes {name}", not errors, errors[:1])
        refused += bool(errors)
        if name.startswith(("key-unknown", "key-typo", "key-misplaced", "kind-", "rate-bits", "rate-no", "name-", "network-tap-long")):
            check(f"schema refuses {name}", errors or not isinstance(value, dict))
    check("the schema refuses mistakes", refused > 100, refused)


def lint(place):
    """Findings have names; waivers accept them until a day."""
    path = os.path.join(place, "lint.yaml")
    body = "cofferdam: 1\nname: a\nkernel: {path: k}\nmachine: {memory: 64MiB}\ndisks:\n" \
           "  - {name: data, path: d.img, access: read-write}\n  - {name: root, path: r.img}\n" \
           "limits: {run_time: 200h, cpu: 100%}\nconsole: {escapes: raw, input: stdin}\n" \
           "networks: [{name: e, tap: t, addresses: [10.0.0.7]}, {name: f, tap: u, addresses: [10.0.0.8],\n" \
           "   egress: [{to: 0.0.0.0/0, tcp: [443]}]}]\n" \
           "vsock: {cid: 7, path: v, guest_may_connect: [1-2000]}\n"
    every = {"writable-disk", "unpinned-kernel", "unpinned-disk", "default-cap", "long-run-time", "raw-console",
             "console-input", "no-egress", "wide-egress", "vsock-ports"}

    def found(more=""):
        write(path, body + more)
        result = run("lint", "--json", path)
        return {finding["finding"] for finding in json.loads(result.stdout)} if result.stdout else result.stderr

    check("every finding", found() == every, found())
    day = datetime.datetime.now(datetime.timezone.utc).date()
    waiver = "waivers: [{finding: writable-disk, of: %s, until: %s, reason: it has to}]\n"
    check("a waiver", found(waiver % ("data", day + datetime.timedelta(2))) == every - {"writable-disk"})
    check("a waiver on its last day", found(waiver % ("data", day)) in (every - {"writable-disk"}, every | {"expired-waiver"}))
    check("a waiver past its day", found(waiver % ("data", day - datetime.timedelta(2))) == every | {"expired-waiver"})
    check("a waiver of nothing", found(waiver % ("root", day)) == every | {"unused-waiver"})
    write(path, "cofferdam: 1\nname: a\nkernel: builtin\nmachine: {memory: 64MiB}\nlimits: {run_time: 1h, cpu: 50%, tasks: 16}\n")
    expect("nothing to find", run("lint", path), 0, "nothing found")


def same_as_python(place):
    """What `check` accepts, Python's loader reads the same, as strings."""
    path = os.path.join(place, "same.yaml")
    shapes = ["{v}", "'{v}'", '"{v}"', " {v}  # c", "{v} "]
    values = {"name": ["a", "on", "yes", "no", "null-1", "0", "010", "1e3", "0x10", "1-2"],
              "cmdline": ["a b", "yes", "1_000", "12:30:45", "2001-01-01", "a#b", "a: b", "[x", "{x}", "- x", "x,y", ".5", "0o7",
                          "=", "<<", "a\\\\b", "~x", "?x", "!x", "&x", "*x", "%x", "@x", "`x", "a 'b", 'a "b', ""],
              "machine": ["{vcpus: 2}", "{vcpus: '2', memory: 64MiB}", "{ vcpus : 2 }", "{vcpus: 2,}"]}
    accepted = 0
    for key, texts in values.items():
        for text in texts:
            for shape in shapes if key != "machine" else ["{v}"]:
                lines = {"cofferdam": "1", "name": "a", "kernel": "builtin", key: shape.replace("{v}", text)}
                write(path, "".join(f"{k}: {v}\n" for k, v in lines.items()))
                result = run("explain", "--json", "all", path)
                if result.returncode != 0:
                    continue
                accepted += 1
                with open(path, encoding="utf-8") as file:
                    theirs = yaml.load(file, yaml.BaseLoader)
                ours = {value["key"]: value["value"] or "" for value in json.loads(result.stdout) if value["line"]}
                flat = {}
                for name, value in theirs.items():
                    flat.update({f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value})
                check(f"{key}: {shape.replace('{v}', text)}", ours == flat, f"{ours} is not {flat}")
    check("enough is accepted", accepted > 60, accepted)


def plan_is_a_function(place):
    """The same policy on the same host gives the same plan, byte for byte, whatever the environment and the folder."""
    path = os.path.join(place, "same.yaml")
    write(path, HEAD + "disks: [{name: d, scratch: 1MiB}]\n")
    host = host_file(place)
    plans = set()
    for folder, environment in ((place, {}), ("/", {"LC_ALL": "C", "TZ": "Asia/Tokyo", "COLUMNS": "20", "HOME": "/nonexistent"}),
                                ("/tmp", {"SUDO_UID": "1000", "LANG": "de_DE.UTF-8"})):
        result = subprocess.run([COFFERDAM, "--host", host, "plan", "--json", path], cwd=folder, env=environment,
                                capture_output=True, text=True, timeout=60, check=False)
        plans.add((result.returncode, result.stdout))
    check("one plan", len(plans) == 1 and next(iter(plans))[0] == 0, plans)


def signatures(place):
    """minisign's signatures: who signed, what was signed, and no way back to an older revision."""
    def minisign(*words):
        subprocess.run(["minisign", *words], capture_output=True, timeout=60, check=True)

    folder = os.path.join(place, "signed")
    os.mkdir(folder, 0o755)
    path, host = os.path.join(folder, "p.yaml"), os.path.join(folder, "host.yaml")
    keys = {}
    for name in ("good", "other"):
        public = os.path.join(folder, name + ".pub")
        minisign("-G", "-f", "-W", "-p", public, "-s", os.path.join(folder, name + ".sec"))
        keys[name] = open(public, encoding="ascii").read().splitlines()[1]
    write(host, f"cofferdam: 1\nfolders: {{runtime: {place}/run, audit: {place}/log, state: {place}/state}}\n"
                f"policies: {{require_signed: on, keys: [{keys['good']}]}}\n")

    def sign(text, key="good", *words):
        write(path, text)
        minisign("-S", *words, "-s", os.path.join(folder, key + ".sec"), "-m", path, "-x", path + ".minisig")

    def started(command="run"):
        return run("--host", host, command, path)

    text = "cofferdam: 1\nname: signed\nrevision: %d\nkernel: builtin\nmachine: {memory: 64MiB}\n"
    write(path, text % 3)
    expect("unsigned", started(), 125, "requires a signature", "p.yaml.minisig cannot be opened")
    expect("unsigned plan", started("plan"), 125, "requires a signature")
    sign(text % 3, "other")
    expect("signed by another", started(), 125, "signed by another key")
    sign(text % 3)
    write(path, text % 4)
    expect("changed after it was signed", started(), 125, "not what was signed")
    sign(text.replace("revision: %d\n", ""))
    expect("without a revision", started(), 125, "a signed policy has a `revision`")
    sign(text.replace("builtin", "{path: k}") % 3)
    expect("without a pin", started(), 125, "the kernel of a signed policy is pinned")
    sign(text % 3)
    expect("signed", started(), 0, "all well")
    expect("signed, again", started(), 0, "all well")
    sign(text % 2)
    expect("an older revision", started(), 125, "revision 2", "with 3", "reset-version signed")
    expect("is planned all the same", started("plan"), 0)
    sign(text % 5, "good", "-l")
    expect("a newer one, in minisign's older way", started(), 0, "all well")
    expect("a way back", run("--host", host, "policy", "reset-version", "signed"), 0, "revision 5 forgotten")
    expect("no other way back", run("--host", host, "policy", "reset-version", "signed"), 1, "no revision")
    sign(text % 2)
    expect("the older revision", started(), 0, "all well")
    good = open(path + ".minisig", "rb").read()
    accepted = [i for i in range(0, len(good), 3) if spoiled(path + ".minisig", good, i) and started("plan").returncode == 0]
    untrusted = good.index(b"\n")
    check("every changed byte of a signature", all(i < untrusted for i in accepted), accepted)
    write(path + ".minisig", good)
    write(os.path.join(folder, "base.yaml"), "cofferdam: 1\nlimits: {tasks: 20}\n")
    sign(text % 6 + "extends: base.yaml\n")
    expect("its base is not signed", started(), 125, "base.yaml.minisig cannot be opened")
    minisign("-S", "-s", os.path.join(folder, "good.sec"), "-m", os.path.join(folder, "base.yaml"))
    expect("its base is signed", started("plan"), 0)
    counter = glob.glob(f"{place}/state/*-signed")
    write(counter[0], "x\n", 0o600)
    sign(text % 7)
    expect("a counter that says nothing", started(), 125, "cannot be read")
    write(host, "cofferdam: 1\npolicies: {require_signed: on}\n")
    expect("nobody's signature counts", started("plan"), 125, "nobody's count")


def spoiled(path, good, index):
    write(path, good[:index] + bytes([good[index] ^ 1]) + good[index + 1:])
    return True


def examples(place):
    """Every example is good, and those with the built-in guest run as they are, under the example's host file as well."""
    host = host_file(place)
    ran = 0
    for path in sorted(glob.glob(os.path.join(TOP, "examples/*.yaml"))):
        name = os.path.basename(path)
        if name == "host.yaml":
            expect(f"examples/{name}", run("--host", path, "check", os.path.join(TOP, "examples/hello.yaml")), 0)
            continue
        if name.endswith("-base.yaml"):
            continue
        expect(f"check examples/{name}", run("check", path), 0, "no mistakes")
        expect(f"examples/{name} under examples/host.yaml",
               run("--host", os.path.join(TOP, "examples/host.yaml"), "check", path), 0, "no mistakes")
        with open(path, encoding="utf-8") as file:
            if "kernel: builtin" in file.read():
                expect(f"run examples/{name}", run("--host", host, "run", path), 0, "all well")
                ran += 1
    check("examples that run", ran >= 5, ran)


def main():
    with tempfile.TemporaryDirectory(prefix="cofferdam-test-") as place:
        for part in (goldens, bounds, refused_keys, limited_disk, layers, pins, differences, explanations, schema, lint, same_as_python,
                     plan_is_a_function, signatures, examples):
            if len(sys.argv) == 1 or part.__name__ in sys.argv[1:]:
                part(place)
    print(f"policy commands: {counts['passed']} passed, {counts['failed']} failed")
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
