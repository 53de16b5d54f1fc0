#!/usr/bin/env python3
"""vsock, from the host's side: the built-in guest connects to the host's ports and is connected to; what the policy does not
grant is refused, both ways; sockets have safe modes and go with the VM, after a crash with the next command. B: build folder."""
import contextlib
import glob
import json
import os
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time

from events import are_events

BUILD = os.path.abspath(os.environ.get("B", "build"))
COFFERDAM = os.path.join(BUILD, "cofferdam")
WAIT_S = 30
SOURCED = 10000
CONNECTIONS = 64  # at a time, where the policy says nothing
CID = 1000 + os.getpid()  # one VM of the host has it
counts = {"passed": 0, "failed": 0, "skipped": 0}


def check(name, good, shown=""):
    counts["passed" if good else "failed"] += 1
    if not good:
        print(f"  FAILED: {name}", *(f"    | {line}" for line in str(shown).splitlines()[-12:]), sep="\n")


class Place:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="cofferdam-test-")
        self.write("host.yaml", f'cofferdam: 1\nfolders: {{runtime: "{self.folder}/run", audit: "{self.folder}/log"}}\n')
        os.mkdir(self.path("sockets"), 0o700)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), 0o600)

    def words(self, *words):
        return [COFFERDAM, "--host", self.path("host.yaml"), *words]

    def policy(self, name, cmdline, vsock="path: sockets/v, guest_may_connect: [5000-5003], host_may_connect: [1234]"):
        self.write(f"{name}.yaml", f"cofferdam: 1\nname: {name}\nkernel: builtin\ncmdline: {cmdline}\n"
                   f"machine: {{vcpus: 1, memory: 64MiB}}\nvsock: {{cid: {CID}, {vsock}}}\n")
        return self.path(f"{name}.yaml")

    def start(self, name, cmdline, **more):
        policy = self.policy(name, cmdline, **more)
        return subprocess.Popen(self.words("run", policy), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)


class Host:
    """What listens at the host's ports: 5000 echoes, 5001 takes nothing, 5002 sends; nobody listens at 5003."""

    def __init__(self, folder):
        self.listeners, self.held = [], []
        for port, serve in ((5000, self.echo), (5001, self.held.append), (5002, self.source)):
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(f"{folder}/v_{port}")
            listener.listen(1024)  # a flood must not find it full because this test is slow
            self.listeners.append(listener)
            threading.Thread(target=self.accept, args=(listener, serve), daemon=True).start()

    @staticmethod
    def accept(listener, serve):
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            if serve.__name__ == "append":
                serve(connection)
            else:
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    @staticmethod
    def echo(connection):
        try:
            while piece := connection.recv(65536):
                connection.sendall(piece)
        except OSError:
            pass
        connection.close()

    @staticmethod
    def source(connection):
        try:
            connection.sendall(bytes(SOURCED))
        except OSError:  # the guest has hung up
            pass
        connection.close()

    def end(self):
        for listener in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)  # who waits in accept() would wait for ever
            listener.close()
        for connection in self.held:
            connection.close()


def read_until(process, text, output):
    end = time.monotonic() + WAIT_S
    while text not in bytes(output) and time.monotonic() < end:
        if select.select([process.stdout], [], [], 0.1)[0]:
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                break
            output += piece
    return text in bytes(output)


def finish(process, output):
    try:
        output += process.communicate(timeout=WAIT_S)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        output += process.communicate()[0]
    return process.returncode


def call(path, line):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", WAIT_S, 0))  # where many wait, it does too
    connection.connect(path)
    connection.settimeout(WAIT_S)
    with contextlib.suppress(BrokenPipeError):  # turned away already: what it reads is the end
        connection.sendall(line)
    return connection


def receive(connection, size):
    data = b""
    try:
        while len(data) < size and (piece := connection.recv(size - len(data))):
            data += piece
    except OSError:
        pass
    return data


def line_of(connection):
    data = b""
    while not data.endswith(b"\n") and (piece := receive(connection, 1)):
        data += piece
    return data


def crowd(path):
    """Far more callers than there may be connections, who say nothing: some are kept waiting, the others are let go. Once they
    have gone themselves there is room again."""
    callers = [call(path, b"") for _ in range(200)]
    gone, end = set(), time.monotonic() + WAIT_S
    while len(callers) - len(gone) > CONNECTIONS and time.monotonic() < end:
        gone |= set(select.select([caller for caller in callers if caller not in gone], [], [], 0.1)[0])
    check("no more callers than connections are kept", 0 < len(callers) - len(gone) <= CONNECTIONS, len(gone))
    check("the others hear the end", all(receive(caller, 1) == b"" for caller in gone))
    for caller in callers:
        caller.close()
    answer = b""
    while not answer.startswith(b"OK ") and time.monotonic() < end:
        with call(path, b"CONNECT 1234\n") as caller:
            answer = line_of(caller)
            if answer:  # a whole line
                caller.shutdown(socket.SHUT_WR)
                receive(caller, 1)
    check("after a crowd there is room", answer.startswith(b"OK "), answer)


def both_ways(place):
    host = Host(place.path("sockets"))
    path, output = place.path("sockets/v"), bytearray()
    process = place.start("both", "vsock=3")
    ready = read_until(process, b"ready for the host", output)
    check("the guest's connections", ready, output.decode())
    if ready:
        mode = os.lstat(path).st_mode
        check("the socket is its owner's alone", stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, oct(mode))
        for bad in (b"CONNECT 1235\n", b"CONNECT \n", b"CONNECT 1234x\n", b"CONNECT 99999999999\n", b"GET / HTTP/1.1\n",
                    b"C" * 64, b"CONNECT 0\n", b"\n"):
            check(f"refused: {bad!r}", receive(call(path, bad), 64) == b"")
        call(path, b"CONNECT 12").close()
        silent = call(path, b"")
        data = os.urandom(200000)
        crowd(path)
        for _ in range(2):
            caller = call(path, b"CONNECT 1234\n")
            answer = line_of(caller)
            check("a caller is let in", answer.startswith(b"OK ") and int(answer[3:]) >= 1 << 30, answer)
            sender = threading.Thread(target=lambda c=caller: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
            sender.start()
            check("a caller's bytes come back", receive(caller, len(data)) == data)
            sender.join(WAIT_S)
            check("and then the end", receive(caller, 1) == b"")
            caller.close()
        silent.close()
    status = finish(process, output)
    check("the guest is well", status == 0 and b"all well" in output, output.decode(errors="replace"))
    with open(glob.glob(place.path("log/both-*.jsonl"))[0], encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    opened = [record["unmapped"]["cofferdam"]["details"] for record in records if record["metadata"]["event_code"] == "resource_opened"]
    folder = os.stat(place.path("sockets"))
    refused = [record["unmapped"]["cofferdam"]["details"] for record in records if record["metadata"]["event_code"] == "cap_reached"]
    refused = [details["count"] for details in refused if details["cap"] == "connections"]
    check("the log has that some were refused, and not each of them", 0 < len(refused) < 20, refused)
    denied = [record["unmapped"]["cofferdam"]["details"] for record in records if record["metadata"]["event_code"] == "frames_denied"]
    check("the log has who asked for a port that is not his, and not each time", {"port not in guest_may_connect",
          "port not in host_may_connect"} <= {detail["denial"] for detail in denied} and len(denied) < 10, denied)
    check("and for which", any(detail.get("peer") == "port 1235" for detail in denied), denied)
    check("the log has what was opened for it", [(one["path"], one["identity"]) for one in opened if one["label"] == "vsock"] ==
          [("sockets/v", f"{folder.st_dev:x}:{folder.st_ino}")], opened)
    check("as many connections as the policy says, no more", b"64 connections of 300" in output, output.decode(errors="replace"))
    check("the socket is gone, those of others are not", sorted(os.listdir(place.path("sockets"))) == ["v_5000", "v_5001", "v_5002"],
          os.listdir(place.path("sockets")))
    check("nothing is left in the runtime folder", [name for name in os.listdir(place.path("run")) if name != "slots"] == [],
          os.listdir(place.path("run")))
    host.end()
    for port in (5000, 5001, 5002):
        os.unlink(place.path(f"sockets/v_{port}"))


def crash(place):
    """The launcher killed: the next command finds the socket."""
    output = bytearray()
    process = place.start("crash", "list end=button")
    check("it starts", read_until(process, b"power button", output), output.decode())
    process.send_signal(signal.SIGKILL)
    finish(process, output)
    check("a crash leaves the socket", os.path.exists(place.path("sockets/v")))
    end = time.monotonic() + WAIT_S
    while os.listdir(place.path("sockets")) and time.monotonic() < end:
        subprocess.run(place.words("ps"), check=False, stdout=subprocess.DEVNULL, timeout=WAIT_S)
    check("the next command removes it", os.listdir(place.path("sockets")) == [], os.listdir(place.path("sockets")))
    check("and all else", [name for name in os.listdir(place.path("run")) if name != "slots"] == [], os.listdir(place.path("run")))


def not_ours(place):
    """What is at the path and is no socket of ours stays as it is."""
    path = place.path("sockets/v")
    place.write("sockets/v", "mine")
    process = place.start("file", "list")
    check("a file is not overwritten", finish(process, bytearray()) == 125 and os.path.getsize(path) == 4)
    os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1)
    process = place.start("other", "list")
    check("another program's socket stays", finish(process, bytearray()) == 125 and os.path.exists(path))
    listener.close()
    process, output = place.start("stale", "list"), bytearray()
    check("one that nobody listens to does not", finish(process, output) == 0 and not os.path.exists(path), output.decode())
    os.symlink("/etc/hostname", path)
    check("a link is not followed", finish(place.start("link", "list"), bytearray()) == 125 and os.path.islink(path))
    os.unlink(path)


def ports_are_sockets(place):
    """A port's path that is a link, or a file, is not connected to."""
    elsewhere = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    elsewhere.bind(place.path("elsewhere"))
    elsewhere.listen(1)
    os.symlink("../elsewhere", place.path("sockets/v_5000"))
    process, output = place.start("linked", "vsock"), bytearray()
    check("a link to a socket is refused", finish(process, output) == 1 and b"a port that is allowed: operation 3, not 2" in output,
          output.decode())
    elsewhere.close()
    os.unlink(place.path("sockets/v_5000"))


def none(place):
    place.write("none.yaml", "cofferdam: 1\nname: none\nkernel: builtin\ncmdline: vsock\nmachine: {vcpus: 1, memory: 64MiB}\n")
    done = subprocess.run(place.words("run", place.path("none.yaml")), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=WAIT_S, check=False)
    check("without vsock in the policy there is none", done.returncode == 1 and b"there is no vsock" in done.stdout, done.stdout)


def main():
    if not os.access("/dev/kvm", os.W_OK):
        print("  skipped: no usable /dev/kvm\n0 passed, 0 failed, 1 skipped")
        return 0
    place = Place()
    for test in (both_ways, crash, not_ours, ports_are_sockets, none):
        print("-", test.__name__.replace("_", " "))
        test(place)
    check("every line of the logs is an event of OCSF", *are_events(place.folder))
    subprocess.run(["rm", "-rf", place.folder], check=True)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
