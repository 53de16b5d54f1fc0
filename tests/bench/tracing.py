"""The kernel's tracer, by a buffer of our own: tracefs, which wants root."""
import contextlib
import os
import subprocess
from pathlib import Path

TRACING = Path("/sys/kernel/tracing")


@contextlib.contextmanager
def tracer(events):
    """The folder of a trace buffer with these events, and nothing left of it afterwards."""
    mounted = (TRACING / "instances").exists()
    if not mounted:
        subprocess.run(["mount", "-t", "tracefs", "tracefs", str(TRACING)], check=True)
    instance = TRACING / "instances" / f"cofferdam-{os.getpid()}"
    instance.mkdir()
    try:
        (instance / "trace_clock").write_text("mono")
        (instance / "buffer_size_kb").write_text("16384")
        for event in events:
            (instance / "events" / event / "enable").write_text("1")
        yield instance
    finally:
        instance.rmdir()
        if not mounted:
            subprocess.run(["umount", str(TRACING)], check=False)
