"""Who is measured: cofferdam, QEMU's microvm with the same guest and the same devices, and the floor.

A subject gives the command line for a guest's command line; everything it needs lies in the bench's own folder.
"""
import atexit
import os
import shutil
from pathlib import Path

CPU = "host,-arch-capabilities"  # a KVM that refuses to set that register keeps QEMU from starting
RAM_MIB = 256
PROCESSES = {devices: devices + 4 for devices in (3, 6)}  # launcher, auditor, supervisor, monitor
DISK_BYTES = 64 << 20
IMAGES = {"scratch": "scratch.img", "disk": "disk.img", "cold": "cold.img"}  # QEMU has no scratch disks
SCRATCH_MIB = 1
TAP, GUEST_IP, PEER_IP = "cfbench0", "10.7.0.7", "10.7.0.1"
GUEST_MAC, PEER_MAC = "02:00:00:00:00:07", "02:00:00:00:00:01"
VSOCK_SINK, VSOCK_SOURCE = "vsock_5001", "vsock_5002"

POLICY = """cofferdam: 1
name: {name}
kernel: builtin
cmdline: "{cmdline}"
machine: {{vcpus: 1, memory: {ram}MiB}}
{devices}
"""
# With caps on, that a test does not reach: the processors' are the machine's.
DEVICES = {
    "scratch": f"disks: [{{name: scratch, scratch: {SCRATCH_MIB}MiB, access: read-write}}]",
    "disk": "disks: [{name: data, path: disk.img, access: read-write, "
            "limits: {bandwidth: 16GiB/s, operations: 1000000/s}}]\nlimits: {cpu: CPU%}",
    "network": f'networks: [{{name: eth0, tap: {TAP}, mac: "{GUEST_MAC}", addresses: [{GUEST_IP}], '
               f"egress: [{{to: {PEER_IP}/32, udp: [7]}}], limits: {{bandwidth: 100Gbit/s, packets: 1000000/s}}}}]"
               "\nlimits: {cpu: CPU%}",
    "vsock": "vsock: {cid: 7, path: vsock, guest_may_connect: [5001, 5002]}\nlimits: {cpu: CPU%}",
}
DEVICES["cold"] = DEVICES["disk"].replace(IMAGES["disk"], IMAGES["cold"])
DEVICES["all"] = "\n".join((DEVICES["scratch"], DEVICES["network"].partition("\n")[0], DEVICES["vsock"].partition("\n")[0],
                           f"balloon: {{minimum: {RAM_MIB // 2}MiB}}", "limits: {cpu: CPU%}"))
HOST = """cofferdam: 1
folders:
  runtime: "{runtime}"
  audit: "{folder}/audit"
"""
MEMORY = Path("/dev/shm")  # a tmpfs, as /run, the usual place of what runs, is on most hosts


class Subject:
    """One way to run the guest. `has`: its device besides console and entropy, a key of DEVICES."""

    def __init__(self, key, title, has=()):
        self.key, self.title, self.has = key, title, has
        self.is_machine = bool(has)

    def command(self, cmdline, has="scratch"):
        raise NotImplementedError


class Cofferdam(Subject):
    """The whole jail."""

    def __init__(self, build, work):
        super().__init__("cofferdam", f"cofferdam, jailed, 3 devices ({PROCESSES[3]} processes)", tuple(DEVICES))
        self.work = work
        self.words = [str(build / "cofferdam"), "--host", str(work / "host.yaml")]
        runtime = (MEMORY if MEMORY.is_mount() else work) / f"{work.name}-runtime"
        atexit.register(shutil.rmtree, runtime, ignore_errors=True)
        self.write("host.yaml", HOST.format(folder=work, runtime=runtime))

    def write(self, name, text):
        (self.work / name).write_text(text)
        os.chmod(self.work / name, 0o600)
        return str(self.work / name)

    def policy(self, file, name, cmdline, has, ram=RAM_MIB):
        devices = DEVICES[has].replace("CPU", str(100 * os.cpu_count()))
        return self.write(file, POLICY.format(name=name, cmdline=cmdline, ram=ram, devices=devices))

    def command(self, cmdline, has="scratch"):
        return [*self.words, "run", self.policy("policy.yaml", f"bench-{os.getpid()}", cmdline, has)]

    def detached(self, index):
        """One of many, which halts."""
        name = f"bench-{os.getpid()}-{index}"
        return [*self.words, "run", "--detach", self.policy(f"many-{index}.yaml", name, "first end=hang", "scratch")]

    def kill(self, index):
        return [*self.words, "kill", f"bench-{os.getpid()}-{index}"]


class Laden(Cofferdam):
    """With each kind of device that there is; the tap is one that there was before."""

    def __init__(self, build, work):
        super().__init__(build, work)
        self.key, self.title = "cofferdam-all", f"cofferdam, each kind of device, 6 ({PROCESSES[6]} processes)"
        self.has = ("all",)

    def command(self, cmdline, has="all"):
        return super().command(cmdline, "all")


class Qemu(Subject):
    """microvm without what the guest does not need: no PIT, PIC, RTC, serial line, firmware device, default device. Its
    disk is served by threads of its own and its network in its own process, as ours are: no part of the kernel does it.
    `drive`: its way to the image, where that is not its default, which is cache=writeback,aio=threads."""

    def __init__(self, build, work, key="qemu", drive="", has=("scratch", "disk", "cold", "network")):
        super().__init__(key, "QEMU microvm" + (f", {drive}" if drive else ""), has)
        self.drive = f",{drive}" if drive else ""
        self.program = shutil.which("qemu-system-x86_64")
        self.kernel, self.work = build / "guest/builtin.elf", work

    def command(self, cmdline, has="scratch"):
        image = self.work / IMAGES.get(has, IMAGES["scratch"])
        drive = ["-drive", f"if=none,id=disk,format=raw,file={image}{self.drive}", "-device", "virtio-blk-device,drive=disk"]
        card = ["-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no,vhost=off",
                "-device", f"virtio-net-device,netdev=net,mac={GUEST_MAC}"]
        return [
            self.program, "-M", "microvm,acpi=on,pit=off,pic=off,rtc=off,isa-serial=off", "-accel", "kvm",
            "-cpu", CPU, "-smp", "1", "-m", str(RAM_MIB), "-nodefaults", "-no-user-config", "-nographic",
            "-no-reboot", "-kernel", str(self.kernel), "-append", cmdline,
            "-global", "virtio-mmio.force-legacy=false",
            "-chardev", "stdio,id=console,signal=off",
            "-device", "virtio-serial-device", "-device", "virtconsole,chardev=console",
            *(card if has == "network" else drive),
            "-device", "virtio-rng-device",
            "-device", "isa-debug-exit,iobase=0x501",
        ]


class Floor(Subject):
    """A bare monitor with a guest of four instructions: what KVM itself costs, and, with the other processes that ours with
    so many devices has, what their fork and exec do."""

    def __init__(self, tools, order=None, devices=None):
        key, title = "floor", "bare monitor (the floor)"
        if order:
            key, title = "floor-chip-first", "bare monitor, chip before slots"
        if devices:
            key, title = f"floor-{devices}", f"bare monitor and bare processes, {PROCESSES[devices]} in all"
        super().__init__(key, title)
        self.words = [str(tools / "floor"), str(RAM_MIB), *([str(PROCESSES[devices])] if devices else []),
                      *([order] if order else [])]

    def command(self, cmdline, has="scratch"):
        return self.words

    def staying(self):
        """One of many, which has run its guest and ends with its standard input."""
        return [*self.words, "stay"]


def make_image(path, size):
    """Of bytes that no file system leaves out."""
    with open(path, "wb") as image:
        for _ in range(size >> 20):
            image.write(os.urandom(1 << 20))
    os.chmod(path, 0o600)


def other_drives(build, work):
    """QEMU with other ways to its image, for the disk's rows alone. One that this QEMU or this kernel has not got says so in its row."""
    ways = (("qemu-ring", "aio=io_uring", ("disk",)), ("qemu-direct", "cache=none", ("cold",)),
            ("qemu-direct-ring", "cache=none,aio=io_uring", ("cold",)))
    return [Qemu(build, work, *way) for way in ways] if shutil.which("qemu-system-x86_64") else []


def everyone(build, tools, work: Path):
    make_image(work / IMAGES["disk"], DISK_BYTES)
    make_image(work / IMAGES["scratch"], SCRATCH_MIB << 20)
    subjects = [Cofferdam(build, work), Floor(tools), Floor(tools, "chip-first"),
                *(Floor(tools, devices=devices) for devices in PROCESSES)]
    qemu = Qemu(build, work)
    if qemu.program and qemu.kernel.exists():
        subjects.insert(1, qemu)
    return subjects
