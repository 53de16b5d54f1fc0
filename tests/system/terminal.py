#!/usr/bin/env python3
"""The operator's terminal, a real pty: raw while the guest has it, put right on every way out, and never told more
than colour and cursor movement. Needs B (build folder) and a usable /dev/kvm. Every wait is bounded."""
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time

from events import are_events

BUILD = os.path.abspath(os.environ.get("B", "build"))
COFFERDAM = os.path.join(BUILD, "cofferdam")
counts = {"passed": 0, "failed": 0}


def check(name, good, detail=""):
    counts["passed" if good else "failed"] += 1
    if not good:
        print(f"  FAILED: {name} {detail}")


class Run:
    """One `cofferdam run` whose controlling terminal is a pty of ours."""

    def __init__(self, place, cmdline, *options):
        policy = os.path.join(place, "policy.yaml")
        with open(policy, "w", encoding="utf-8") as file:
            file.write(
                "cofferdam: 1\nname: terminal\nkernel: builtin\n"
                f'cmdline: "{cmdline}"\nmachine: {{vcpus: 1, memory: 64MiB}}\n'
                "console: {input: stdin}\ncontrol: {grace: 2s}\n"
            )
        os.chmod(policy, 0o600)
        self.master, slave = pty.openpty()
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        # A shell is the session's leader, as everywhere: when a leader dies, the kernel hangs its terminal up.
        words = ["/bin/sh", "-c", '"$@"; exit $?', "sh", COFFERDAM, "--host", os.path.join(place, "host.yaml"), "run", *options, policy]
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0))
        self.output = b""

    def read_until(self, text, seconds=20):
        end = time.monotonic() + seconds
        while text not in self.output and time.monotonic() < end:
            ready, _, _ = select.select([self.master], [], [], 0.1)
            if ready:
                self.output += os.read(self.master, 4096)
        return text in self.output

    def is_raw(self):
        return termios.tcgetattr(self.slave)[3] & termios.ICANON == 0

    def is_restored(self, seconds=10):
        end = time.monotonic() + seconds
        while termios.tcgetattr(self.slave) != self.before and time.monotonic() < end:
            select.select([self.master], [], [], 0.05)
        return termios.tcgetattr(self.slave) == self.before

    def type(self, text):
        os.write(self.master, text)

    def end(self, seconds=20):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None

    def close(self):
        self.end(1)
        os.close(self.master)
        os.close(self.slave)


def child_named(pid, role):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for child in file.read().split():
            with open(f"/proc/{child}/cmdline", "rb") as words:
                if role in words.read():
                    return int(child)
    return None


def main():
    if not os.access("/dev/kvm", os.W_OK):
        print("  skipped: no usable /dev/kvm\n0 passed, 0 failed, 1 skipped")
        return 0
    with tempfile.TemporaryDirectory(prefix="cofferdam-test-") as place:
        host = os.path.join(place, "host.yaml")
        with open(host, "w", encoding="utf-8") as file:
            file.write(f'cofferdam: 1\nfolders:\n  runtime: "{place}/run"\n  audit: "{place}/log"\n')
        os.chmod(host, 0o600)

        run = Run(place, "echo")
        check("the guest speaks", run.read_until(b"hello from ring 3"))
        check("raw while it runs", run.read_until(b"echo") or run.is_raw())
        run.type(b"ping\x04")
        check("input reaches the guest", run.read_until(b"ping"))
        check("ends by itself", run.end() == 0)
        check("put right after power-off", run.is_restored())
        run.close()

        run = Run(place, "list end=button")
        check("waits for its button", run.read_until(b"power button"))
        check("raw", run.is_raw())
        run.type(b"\x01x")
        check("Ctrl-A x presses it", run.end() == 0)
        check("put right after Ctrl-A x", run.is_restored())
        run.close()

        run = Run(place, "esc")
        run.end()
        run.read_until(b"\0", 1)
        check("no OSC sequence reaches the terminal", b"\x1b]" not in run.output, repr(run.output[-200:]))
        check("colours do", b"\x1b[3" in run.output, repr(run.output[-200:]))
        run.close()

        for role in ("launcher", "supervisor", "monitor", "device"):
            run = Run(place, "list end=button")
            check(f"starts, to lose its {role}", run.read_until(b"power button"))
            launcher = child_named(run.process.pid, b"run")
            victim = launcher if role == "launcher" else child_named(launcher, role.encode())
            os.kill(victim, signal.SIGKILL)
            run.end()
            check(f"put right after kill -9 of the {role}", run.is_restored())
            run.close()
            subprocess.run([COFFERDAM, "--host", host, "ps"], check=False, timeout=20, stdout=subprocess.DEVNULL)
        check("every line of the logs is an event of OCSF", *are_events(place))
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
