"""Who is measured: cofferdam, QEMU's microvm with the same guest and the same devices, and the floor.

A subject gives the command line for a guest's command line; everything it needs lies in the bench's own folder.
"""
import os
import shutil
from pathlib import Path

RAM_MIB = 256
DISK_BYTES = 1 << 20

POLICY = """cofferdam: 1
name: {name}
kernel: builtin
cmdline: "{cmdline}"
machine: {{vcpus: 1, memory: {ram}MiB}}
disks:
  - {disk}
"""
HOST = """cofferdam: 1
folders:
  runtime: "{folder}/runtime"
  audit: "{folder}/audit"
"""


class Subject:
    """One way to run the guest. `disk`: "scratch" for a disk in memory, "file" for the bench's image."""

    def __init__(self, key, title, is_machine=True):
        self.key, self.title, self.is_machine = key, title, is_machine

    def command(self, cmdline, disk="scratch"):
        raise NotImplementedError


class Cofferdam(Subject):
    """The whole jail and every device there is: console, disk, entropy."""

    def __init__(self, build, work):
        super().__init__("cofferdam", "cofferdam, jailed")
        self.program, self.work = build / "cofferdam", work
        (work / "host.yaml").write_text(HOST.format(folder=work))
        os.chmod(work / "host.yaml", 0o600)

    def command(self, cmdline, disk="scratch"):
        lines = {
            "scratch": f"{{name: scratch, scratch: {DISK_BYTES >> 20}MiB, access: read-write}}",
            "file": "{name: data, path: disk.img, access: read-only}",
        }
        policy = self.work / f"{disk}-{cmdline.replace('=', '-').replace(':', '-').replace(' ', '-')}.yaml"
        if not policy.exists():
            text = POLICY.format(name=f"bench-{os.getpid()}", cmdline=cmdline, ram=RAM_MIB, disk=lines[disk])
            policy.write_text(text)
            os.chmod(policy, 0o600)
        return [str(self.program), "--host", str(self.work / "host.yaml"), "run", str(policy)]


class Qemu(Subject):
    """microvm without what the guest does not need: no PIT, PIC, RTC, serial line, firmware device, default device."""

    def __init__(self, build, work):
        super().__init__("qemu", "QEMU microvm")
        self.program = shutil.which("qemu-system-x86_64")
        self.kernel, self.image = build / "guest/builtin.elf", work / "disk.img"

    def command(self, cmdline, disk="scratch"):
        read_only = ",read-only=on" if disk == "file" else ""
        return [
            self.program, "-M", "microvm,acpi=on,pit=off,pic=off,rtc=off,isa-serial=off", "-accel", "kvm",
            "-cpu", "host", "-smp", "1", "-m", str(RAM_MIB), "-nodefaults", "-no-user-config", "-nographic",
            "-no-reboot", "-kernel", str(self.kernel), "-append", cmdline,
            "-global", "virtio-mmio.force-legacy=false",
            "-chardev", "stdio,id=console,signal=off",
            "-device", "virtio-serial-device", "-device", "virtconsole,chardev=console",
            "-drive", f"if=none,id=disk,format=raw,file={self.image}{read_only}",
            "-device", "virtio-blk-device,drive=disk",
            "-device", "virtio-rng-device",
            "-device", "isa-debug-exit,iobase=0x501",
        ]


class Floor(Subject):
    """A bare monitor with a guest of four instructions: what KVM itself costs."""

    def __init__(self, tools, order=None):
        super().__init__("floor-chip-first" if order else "floor",
                         "bare monitor, chip before slots" if order else "bare monitor (the floor)", is_machine=False)
        self.words = [str(tools / "floor"), str(RAM_MIB)] + ([order] if order else [])

    def command(self, cmdline, disk="scratch"):
        return self.words


def everyone(build, tools, work: Path):
    with open(work / "disk.img", "wb") as image:
        image.write(os.urandom(DISK_BYTES))
    os.chmod(work / "disk.img", 0o600)
    subjects = [Cofferdam(build, work), Floor(tools), Floor(tools, "chip-first")]
    qemu = Qemu(build, work)
    if qemu.program and qemu.kernel.exists():
        subjects.insert(1, qemu)
    return subjects
