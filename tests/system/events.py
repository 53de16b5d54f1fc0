"""Whether every line of the logs that a test's VMs wrote is an event of OCSF (tests/ocsf)."""
import glob
import os
import subprocess

OCSF = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "ocsf")


def are_events(folder, logs="log"):
    """(whether all are, and there are some; what tests/ocsf says) of `logs` in `folder`."""
    done = subprocess.run([OCSF, *glob.glob(f"{folder}/{logs}/*.jsonl")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, timeout=120)
    return done.returncode == 0, done.stdout.decode()[-2000:]
