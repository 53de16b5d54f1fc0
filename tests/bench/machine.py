"""One VM that runs while something is measured. Ends with the block, whatever happens in it."""
import contextlib
import os
import select
import signal
import subprocess
import time

START_S = 20


class Failed(Exception):
    """The VM did not do what it should; the message says what."""


class Machine:
    def __init__(self, process):
        self.process, self.pid, self.output = process, process.pid, b""

    def wait_for(self, text, seconds=START_S):
        """Reads until the output holds `text`."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            left = max(0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise Failed(f"no {text} within {seconds} s")
            piece = os.read(self.process.stdout.fileno(), 4096)
            if not piece:
                raise Failed(f"ended without {text}" + self.last_words())
            self.output += piece

    def last_words(self):
        os.set_blocking(self.process.stderr.fileno(), False)
        lines = (self.process.stderr.read() or b"").decode(errors="replace").strip().splitlines()
        return f": {lines[0]}" if lines else ""

    def end(self, seconds):
        """A signal asks, a second insists (cofferdam ends a VM at the second), the third is the kernel's."""
        for sign in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                return
            self.process.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.2 if sign == signal.SIGTERM else seconds)


@contextlib.contextmanager
def running(command, seconds):
    command = ["setpriv", "--pdeathsig", "KILL", *command]  # it execs: the process is the VM's own
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               bufsize=0)
    vm = Machine(process)
    try:
        yield vm
    finally:
        vm.end(seconds)
        process.stdout.close()
        process.stderr.close()
