"""What `diff` says of two policies: for every key of the language at least one pair, with its verdict."""
import json
import os
import re

from policy_tools import check, expect, run, write

D = "disks: [{name: a, path: a.img%s}]"
N = "networks: [{name: e, tap: t, addresses: [10.0.0.7%s]%s}]"
PIN = ", sha256: " + "ab" * 32
V = "vsock: {cid: 7, path: v%s}"
# From a first policy to a second, by what they say beside HEADS: the key that changes and the verdict; None: no change.
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
    ('limits: {cpuset: "0-3,8"}', "limits: {cpuset: 1-2}", "limits.cpuset", "tightened"),
    ("limits: {cpuset: 0-1}", "limits: {cpuset: 1-2}", "limits.cpuset", "loosened"),
    ("limits: {cpuset: 0}", "", "limits.cpuset", "loosened"),
    ("limits: {log: 1MiB}", "limits: {log: 2MiB}", "limits.log", "loosened"),
    ("limits: {open_files: 100}", "limits: {open_files: 99}", "limits.open_files", "tightened"),
    ("audit: {on_failure: continue}", "audit: {on_failure: refuse}", "audit.on_failure", "tightened"),
    ("audit: {on_failure: halt}", "audit: {on_failure: refuse}", "audit.on_failure", "tightened"),
    ("entropy: {limits: {bandwidth: 1MiB/s}}", "entropy: {limits: {bandwidth: 2MiB/s}}", "entropy.limits.bandwidth", "loosened"),
    ("vsock: {cid: 7, path: v, limits: {connections: 9}}", "vsock: {cid: 7, path: v, limits: {connections: 8}}",
     "vsock.limits.connections", "tightened"),
    ("jail: {no_cgroup: refuse}", "jail: {no_cgroup: allow}", "jail.no_cgroup", "loosened"),
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
    (N % ("", ""), N % ("", ", ingress: [{from: 10.0.0.0/24, tcp: [22]}]"), "networks[e].ingress", "loosened"),
    (N % ("", ", ingress: [{from: 10.0.0.0/24, tcp: [22]}]"), N % ("", ", ingress: [{from: 10.0.0.0/25, tcp: [22]}]"),
     "networks[e].ingress", "tightened"),
    (N % ("", ""), N % ("", ", create: {bridge: b}"), "networks[e].create", "loosened"),
    (N % ("", ""), N % ("", ", mtu: 9000"), "networks[e].mtu", "neutral"),
    ("vsock: {cid: 7, path: v}", "", "vsock", "tightened"),
    ("", "vsock: {cid: 7, path: v}", "vsock", "loosened"),
    ("vsock: {cid: 7, path: v}", "vsock: {cid: 7, path: v, guest_may_connect: [5]}", "vsock.guest_may_connect", "loosened"),
    ("vsock: {cid: 7, path: v}", "vsock: {cid: 8, path: v}", "vsock.cid", "neutral"),
    ("control: {operators: [a]}", "control: {operators: [a, b]}", "control.operators", "loosened"),
    ("control: {viewers: [a, b]}", "control: {viewers: [b]}", "control.viewers", "tightened"),
    ("balloon: {minimum: 64MiB}", "", "balloon", "tightened"),
    ("", "balloon: {minimum: 64MiB}", "balloon", "loosened"),
    ("balloon: {minimum: 64MiB}", "balloon: {minimum: 32MiB}", "balloon.minimum", "neutral"),
    ("balloon: {reporting: off}", "balloon: {reporting: on}", "balloon.reporting", "loosened"),
    ("name: a", "name: b", "name", "neutral"),
    ("kernel: builtin", "kernel: {path: k}", "kernel", "neutral"),
    ("kernel: {path: k}", "kernel: {path: l}", "kernel.path", "neutral"),
    ("kernel: {path: k}", "kernel: {path: k" + PIN + "}", "kernel.sha256", "tightened"),
    ("kernel: {path: k" + PIN + "}", "kernel: {path: k}", "kernel.sha256", "loosened"),
    ("machine: {memory: 64MiB}", "machine: {memory: 128MiB}", "machine.memory", "loosened"),
    ("machine: {memory: 64MiB}", "machine: {memory: 32MiB}", "machine.memory", "tightened"),
    ("control: {auditors: [a]}", "control: {auditors: [a, b]}", "control.auditors", "loosened"),
    ("jail: {smt: exclusive}", "jail: {smt: shared}", "jail.smt", "loosened"),
    ("jail: {single_uid: allow}", "", "jail.single_uid", "tightened"),
    ("jail: {no_landlock: refuse}", "jail: {no_landlock: allow}", "jail.no_landlock", "loosened"),
    (D % "", D % ", overlay: discard", "disks[a].overlay", "loosened"),
    (D % ", overlay: keep", D % ", overlay: discard", "disks[a].overlay", "tightened"),
    (D % ", serial: x", D % ", serial: y", "disks[a].serial", "neutral"),
    (D % ", limits: {growth: 1MiB}", D % ", limits: {growth: 2MiB}", "disks[a].limits.growth", "loosened"),
    (N % ("", ""), (N % ("", "")).replace("tap: t", "tap: u"), "networks[e].tap", "neutral"),
    (N % ("", ""), (N % ("", "")).replace("tap: t", "passt: on"), "networks[e].passt", "neutral"),
    (N % ("", ", netns: m"), N % ("", ", netns: n"), "networks[e].netns", "neutral"),
    (N % ("", ", create: {bridge: b}"), N % ("", ""), "networks[e].create", "tightened"),
    (N % ("", ", create: {bridge: b}"), N % ("", ", create: {bridge: c}"), "networks[e].create.bridge", "neutral"),
    (N % ("", ", create: {address: 10.0.0.1}"), N % ("", ", create: {address: 10.0.0.2}"), "networks[e].create.address", "neutral"),
    (N % ("", ", create: {address: 10.0.0.1}"), N % ("", ", create: {address: 10.0.0.1, prefix: 25}"),
     "networks[e].create.prefix", "neutral"),
    (N % ("", ', mac: "02:00:00:00:00:07"'), N % ("", ', mac: "02:00:00:00:00:08"'), "networks[e].mac", "neutral"),
    (N % ("", ", limits: {packets: 100/s}"), N % ("", ", limits: {packets: 200/s}"), "networks[e].limits.packets", "loosened"),
    (V % "", V.replace("path: v", "path: w") % "", "vsock.path", "neutral"),
    (V % ", host_may_connect: [1024]", V % ", host_may_connect: [1024-1025]", "vsock.host_may_connect", "loosened"),
    (V % ", limits: {new_connections: 10/s}", V % ", limits: {new_connections: 9/s}", "vsock.limits.new_connections", "tightened"),
    (V % ", limits: {bandwidth: 1MiB/s}", V % ", limits: {bandwidth: 2MiB/s}", "vsock.limits.bandwidth", "loosened"),
    (V % ", limits: {buffer: 64KiB}", V % ", limits: {buffer: 128KiB}", "vsock.limits.buffer", "loosened"),
    ("waivers: [{finding: raw-console, until: 2030-01-01, reason: x}]", "", None, None),
]

# What every policy says, unless the pair says it.
HEADS = ("cofferdam: 1", "name: a", "kernel: builtin")
# Keys without a pair: one value alone, a file that both need, and remarks, which no difference counts.
NO_PAIR = re.compile(r"cofferdam|extends|revision|waivers\[\]\..*")


def policy_of(said):
    heads = [head for head in HEADS if not said.startswith(head.split(" ", maxsplit=1)[0])]
    return "\n".join([*heads, said]) + "\n"


def keys_without_pair():
    """Of all that `explain` knows. The name of a list's item is what the item goes by; a rule is judged as a whole."""
    paired = {re.sub(r"\[\w+\]", "[]", pair[2]) for pair in PAIRS if pair[2]}
    every = [key["key"] for key in json.loads(run("explain", "--json", "all").stdout)]
    return [key for key in every if not NO_PAIR.fullmatch(key) and
            not {key, key.removesuffix(".name"), re.sub(r"gress\[\]\.\w+$", "gress", key)} & paired]


def differences(place):
    """Each pair has its verdict, and --fail-on-loosen fails exactly on what loosens."""
    first, second = os.path.join(place, "first.yaml"), os.path.join(place, "second.yaml")
    for before, after, key, verdict in PAIRS:
        write(first, policy_of(before))
        write(second, policy_of(after))
        result = run("diff", "--json", "--fail-on-loosen", first, second)
        found = [(change["key"], change["verdict"]) for change in json.loads(result.stdout or '{"changes": 0}')["changes"]]
        name = f"diff of {before!r} and {after!r}"
        check(name, (key, verdict) in found if key else found == [], f"gives {found}")
        loosens = any(change[1] == "loosened" for change in found)
        check(name + ": verdict", loosens == (verdict == "loosened"), f"gives {found}")
        check(name + ": status", result.returncode == (1 if loosens else 0), result.returncode)
    check("enough pairs", len(PAIRS) > 60, len(PAIRS))
    check("every key has a pair", not keys_without_pair(), keys_without_pair())
    expect("diff in words", run("diff", first, first), 0, "no difference")
    expect("diff of what is wrong", run("diff", first, os.path.join(place, "missing.yaml")), 2, "No such file")
