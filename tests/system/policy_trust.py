"""Parts of policy.py: pins and signatures, what a policy's author vouches for and who vouches for the policy."""
import glob
import hashlib
import json
import os
import subprocess

from policy_tools import BUILD, check, expect, host_file, run, write


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
    expect("unsigned check", started("check"), 0, "no mistakes", "but `run` would refuse it:", "requires a signature")
    said = json.loads(run("--host", host, "check", "--json", path).stdout)
    check("unsigned check, as JSON", said["problems"] == [] and "requires a signature" in said["run_refuses"][0]["message"], said)
    sign(text % 3, "other")
    expect("signed by another", started(), 125, "signed by another key")
    sign(text % 3)
    write(path, text % 4)
    expect("changed after it was signed", started(), 125, "not what was signed")
    sign(text.replace("revision: %d\n", ""))
    expect("without a revision", started(), 125, "a signed policy has a `revision`")
    sign(text.replace("builtin", "{path: k}") % 3)
    expect("without a pin", started(), 125, "the kernel of a signed policy is pinned")
    sign(text % 3 + "initrd: {path: i}\ndisks: [{name: d, path: d.img}]\n")
    expect("without its others", started(), 125, "the initrd of a signed policy is pinned",
           "a read-only disk of a signed policy is pinned")
    refused = [record["message"] for record in map(json.loads, open(os.path.join(place, "log", "host.jsonl"), encoding="utf-8"))
               if record["metadata"]["event_code"] == "policy_refused" and path in record["message"]]
    check("each that was not taken is in the host's log", len(refused) == 6 and "requires a signature" in refused[0] and
          "signed by another key" in refused[1] and refused[5].endswith("mistakes in all: 2"), refused)
    write(path + ".minisig", "untrusted comment: none\n")
    expect("no signature at all", started(), 125, "its signature is no signature of minisign's")
    sign(text % 3)
    said = json.loads(run("--host", host, "check", "--json", path).stdout)
    check("nothing against it, as JSON", said["problems"] == [] and said["run_refuses"] == [], said)
    expect("signed", started(), 0, "all well")
    expect("signed, again", started(), 0, "all well")
    sign(text % 2)
    expect("an older revision", started(), 125, "revision 2", "with 3", "reset-version signed")
    expect("and plan says so", started("plan"), 125, "REFUSED: the policy has revision 2", "with 3")
    sign(text % 5, "good", "-l")
    expect("a newer one, in minisign's older way", started(), 0, "all well")
    logs = [os.path.join(place, "log", name) for name in os.listdir(os.path.join(place, "log")) if name.startswith("signed-")]
    loaded = [record["unmapped"]["cofferdam"]["details"] for log in logs for record in map(json.loads, open(log, encoding="utf-8"))
              if record["metadata"]["event_code"] == "policy_loaded"]
    note, = glob.glob(os.path.join(place, "state", "*-signed"))
    signer = os.path.basename(note)[:16]
    check("who signed is in the log", sorted(details["revision"] for details in loaded) == [3, 3, 5] and
          all(details["signed_by"] == signer for details in loaded), loaded)
    for number in ("2\n", "4\n", None):
        write(note, number) if number else os.unlink(note)
        for command in ("plan", "run"):
            expect(f"{command}: noted revision set back to {number}", started(command), 125, "a run of 'signed' with revision 5",
                   "was set back")
    write(note, "5\n")
    expect("put right", started(), 0, "all well")
    expect("a way back", run("--host", host, "policy", "reset-version", "signed"), 0, "revision 5 forgotten")
    check("a reset is in the host's log", [record for record in map(json.loads, open(os.path.join(place, "log", "host.jsonl"),
          encoding="utf-8")) if record["metadata"]["event_code"] == "revision_reset" and record["message"] ==
          "signed policies of VM signed older than revision 5 may run again" and
          record["unmapped"]["cofferdam"]["actor"]["uid"] == os.getuid()] != [], "none")
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
