"""For the tests of the policy's commands: the program, what is expected of it, and the counts. No test of its own."""
import os
import subprocess

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
