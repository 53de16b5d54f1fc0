#!/usr/bin/env python3
"""The policy's commands, with the real program: what the tests of policy/ promise of the language holds for what an
operator runs, the process that reads YAML included. Needs B (build folder); a few VMs need a usable /dev/kvm. Every wait is
bounded. Names of parts on the command line run those alone."""
import datetime
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import jsonschema
import yaml

sys.dont_write_bytecode = True
from events import are_events # pylint: disable=C0413
from policy_differences import differences # pylint: disable=C0413
from policy_tools import COFFERDAM, HEAD, TOP, check, counts, expect, host_file, run, write # pylint: disable=C0413
from policy_random import random_policies # pylint: disable=C0413
from policy_trust import pins, signatures # pylint: disable=C0413


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


# What is no message: minisign's words, and our own mistake, which tests/unit/policy_values.c finds.
NO_MESSAGES = {"untrusted comment: ", "trusted comment: ", "the table's default is not valid"}


def every_error(place):
    """Every message of policy/ is in a golden file. (Of keys, findings and differences: explanations, lint, differences.)"""
    del place
    goldens_say, messages = "", 0
    for path in glob.glob(os.path.join(TOP, "tests/policy/**/*.expected"), recursive=True):
        with open(path, encoding="utf-8") as file:
            goldens_say += file.read()
    literal = r'"(?:[^"\\\n]|\\.)*"'
    for path in sorted(glob.glob(os.path.join(TOP, "policy/*.c"))):
        if os.path.basename(path).startswith(("keys", "describe", "json_schema", "lint", "compare")):
            continue
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
        text = re.sub(r'%" PRIu64 "', "%d", re.sub(r"_Static_assert\(.*?\);", "", text, flags=re.S))
        text = re.sub(r"\.\w+ =\s*(" + literal + r"\s*)+(?=[,}])", "", text)  # a table of keys
        text = re.sub(r'\{("(?:[^"\\]|\\.)*"), "', '{"', text)  # libyaml's words, beside ours
        for found in re.finditer(literal + r"(?:\s*" + literal + ")*", text):
            said = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', found.group())).replace('\\"', '"').replace("\\\\", "\\")
            if " " not in said.strip() or said.startswith("{s:") or said in NO_MESSAGES:
                continue
            messages += 1
            parts = [part.strip() for part in re.split(r"%[-+#0-9.*]*[lhz]*[a-zA-Z%]|\\n", said)]
            check(f"{os.path.basename(path)}: a golden file has {said!r}", all(part in goldens_say for part in parts))
    check("there are messages", messages > 250, messages)


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
    expect("explain the findings of lint", run("explain", "waivers.finding"), 0, "writable-disk, ", "or unused-waiver")
    expect("explain nothing", run("explain", "limits.cpus"), 2, "there is no key")
    every = json.loads(run("explain", "--json", "all").stdout)
    check("every key is explained", len(every) > 50 and all(key["help"] and key["takes"] for key in every), every)
    check("every key says what is tighter", all(key["tighter"] for key in every), every)
    check("what enforces has a test", [key["key"] for key in every if bool(key["enforced_by"]) !=
                                       bool(key["test"] and os.path.isfile(os.path.join(TOP, key["test"])))] == [])
    check("every cap has both", all(key["enforced_by"] for key in every if "limits." in key["key"]), every)
    manual = run("schema", "--man").stdout
    for key in every:
        check(f"manual of {key['key']}", "\n.B " + key["key"].replace("-", "\\-") + "\n" in manual)
    rendered = subprocess.run(["nroff", "-man", "-ww"], input=manual, capture_output=True, text=True, timeout=60, check=False)
    check("the manual page is sound", rendered.returncode == 0 and not rendered.stderr, rendered.stderr)


def schema(place):
    """The JSON Schema takes what `check` takes, and refuses most of what it refuses."""
    del place
    policy_schema = json.loads(run("schema", "--json").stdout)
    check("it is JSON anyway", policy_schema == json.loads(run("schema").stdout))
    expect("but for the manual", run("schema", "--man", "--json"), 2, "leave --json out")
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
    said = found(waiver % ("data", day))
    midnight = datetime.datetime.now(datetime.timezone.utc).date() != day  # has come since
    check("a waiver on its last day", said == every - {"writable-disk"} or midnight, said)
    check("a waiver the day after", found(waiver % ("data", day - datetime.timedelta(1))) == every | {"expired-waiver"})
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


def plan_changes_nothing(place):
    """Of all that `run` would make, `plan` makes nothing, nor does it touch what is there."""
    folder, name = os.path.join(place, "planned"), f"planned-{os.getpid()}"
    os.mkdir(folder, 0o700)
    with open(os.path.join(folder, "d.img"), "wb") as image:
        image.truncate(1 << 20)
    host, path = os.path.join(folder, "host.yaml"), os.path.join(folder, "p.yaml")
    write(host, "cofferdam: 1\nfolders: {%s}\n" % ", ".join(f"{key}: {folder}/{key}" for key in ("runtime", "audit", "state")))
    write(path, f"cofferdam: 1\nname: {name}\nkernel: builtin\nmachine: {{memory: 64MiB}}\n"
                "disks: [{name: d, path: d.img, overlay: keep}]\nconsole: {log: c.log}\nvsock: {cid: 4711, path: v}\n"
                "networks: [{name: e, tap: cftplan, create: {address: 10.7.1.1}, addresses: [10.7.1.7]}]\n")

    def everything():
        found = {entry: (os.lstat(entry).st_mtime_ns, os.lstat(entry).st_size)
                 for entry in [folder, *glob.glob(folder + "/**", recursive=True, include_hidden=True)]}
        groups = glob.glob(f"/sys/fs/cgroup/cofferdam/{name}*") + glob.glob(f"/sys/fs/cgroup/*/cofferdam/{name}*")
        return found, groups, "cftplan" in [interface for _, interface in socket.if_nameindex()]

    before = everything()
    result = run("--host", host, "plan", path)
    if os.geteuid() == 0 and os.access("/dev/kvm", os.W_OK) and os.path.exists("/dev/net/tun"):
        check("it can run", result.returncode == 0, result.stdout + result.stderr)
    check("nothing has changed", everything() == before, everything())
    made = re.search(r"\nmade\n((?:  .*\n)+)", result.stdout)
    lines = [line.split() for line in made.group(1).splitlines()] if made else []
    check("what would be made", lines == [["console", "c.log", "makes"], ["d", f"{name}.d.overlay", "makes"], ["vsock", "v", "makes"],
                                          ["log", f"{folder}/audit/{name}-TIME-RUN.jsonl", "makes"],
                                          ["control", f"{folder}/runtime/{name}.sock", "makes"]], result.stdout)
    for there, why in (("c.log", "a console log is always a new file"), ("v", "v is there already, and is not a socket")):
        write(os.path.join(folder, there), "")
        expect(f"{there} is there", run("--host", host, "plan", path), 125, why)
        said = json.loads(run("--host", host, "plan", "--json", path).stdout)
        check(f"{there} is there, as JSON", said["refused"] and any(why in entry["refused"] for entry in said["made"]), said["made"])
        os.unlink(os.path.join(folder, there))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.path.join(folder, "v"))
        left.listen()
        expect("somebody listens there", run("--host", host, "plan", path), 125, "v is there already, and is not a socket")
    check("what a VM left is removed", "is there already" not in run("--host", host, "plan", path).stdout)


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
            text = file.read()
            if "kernel: builtin" in text and "\nnetworks:" not in text:  # those: tests/system/network.py
                expect(f"run examples/{name}", run("--host", host, "run", path), 0, "all well")
                ran += 1
    check("examples that run", ran >= 5, ran)


def main():
    with tempfile.TemporaryDirectory(prefix="cofferdam-test-") as place:
        for part in (goldens, every_error, bounds, limited_disk, layers, pins, differences, explanations, schema, lint, same_as_python,
                     random_policies, plan_is_a_function, plan_changes_nothing, signatures, examples):
            if len(sys.argv) == 1 or part.__name__ in sys.argv[1:]:
                part(place)
        if glob.glob(f"{place}/log/*.jsonl"):
            check("every line of the logs is an event of OCSF", *are_events(place))
    print(f"policy commands: {counts['passed']} passed, {counts['failed']} failed")
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
