#!/usr/bin/env python3
"""Records handed on: the forms are what their specifications say, each record arrives at least once whatever breaks, in
order, with its bytes in the log unchanged, and nothing is handed on behind a break of the chain. Collectors are real
sockets of both kinds. Needs B (build folder); every wait is bounded."""
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from chained import chained, write_log

COFFERDAM = os.path.join(os.path.abspath(os.environ.get("B", "build")), "cofferdam")
SYSLOG = re.compile(rb'<(\d+)>1 (\S+) (\S+) cofferdam ([0-9a-f]{32}) (\S+) \[origin software="cofferdam"\]\[meta sequenceId="(\d+)"\] (.*)', re.S)
PATIENCE = 30
counts = {"passed": 0, "failed": 0}


def check(name, good, detail=""):
    counts["passed" if good else "failed"] += 1
    if not good:
        print(f"  FAILED: {name} {detail}")


def records(count):
    rows = []
    for i in range(count):
        code = ("log_opened", "violation", "vm_running")[min(i, 2)]
        outer = {"message": f"record {i}\nof many", "severity_id": 1 + i % 5, "class_uid": 3004,
                 "metadata": {"event_code": code, "reporter": {"hostname": "höst a"}}}
        rows.append((code, outer, {"vm": f"vm{i % 2}"}))
    return rows


class Collector:
    """A socket of either kind; messages are what arrived, whole."""

    def __init__(self, path, kind):
        self.path, self.kind = path, kind
        self.listener = socket.socket(socket.AF_UNIX, kind)
        self.listener.bind(path)
        self.listener.setblocking(False)
        self.connections, self.partial, self.messages = [], {}, []
        if kind == socket.SOCK_STREAM:
            self.listener.listen(8)
        else:
            self.connections = [self.listener]

    def hear(self, timeout):
        ready = select.select(list({self.listener, *self.connections}), [], [], timeout)[0]
        for one in ready:
            if one is self.listener and self.kind == socket.SOCK_STREAM:
                self.connections.append(one.accept()[0])
                continue
            data = one.recv(1 << 20)
            if self.kind == socket.SOCK_DGRAM:
                self.messages.append(data)
                continue
            if not data:
                self.connections.remove(one)
                continue
            *whole, self.partial[one] = (self.partial.get(one, b"") + data).split(b"\n")
            self.messages += whole
        return bool(ready)

    def hear_until(self, enough):
        end = time.monotonic() + PATIENCE
        while not enough() and time.monotonic() < end:
            self.hear(0.2)
        return enough()

    def close(self):
        for one in {self.listener, *self.connections}:
            one.close()
        os.unlink(self.path)


class Place:
    def __init__(self, folder):
        self.folder = folder
        with open(f"{folder}/host.yaml", "w", encoding="utf-8") as file:
            file.write(f'cofferdam: 1\nfolders: {{runtime: "{folder}/run", audit: "{folder}/log"}}\n')
        os.chmod(folder, 0o755)

    def start(self, *words):
        return subprocess.Popen([COFFERDAM, "--host", f"{self.folder}/host.yaml", "audit", "forward", *words],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *words):
        process = self.start(*words)
        out, error = process.communicate(timeout=PATIENCE)
        return process.returncode, out, error.decode()


def lines_of(messages):
    return [SYSLOG.fullmatch(message)[7] for message in messages]


def forms(place, log, lines):
    status, out, _ = place.run(log)
    messages = out.split(b"\n")[:-1]
    parts = [SYSLOG.fullmatch(message) for message in messages]
    check("RFC 5424: each line is a message", status == 0 and len(parts) == len(lines) and all(parts), out[:400])
    check("facility 13, the severity's number", [int(part[1]) for part in parts[:5]] == [104 + n for n in (6, 5, 4, 3, 2)])
    check("time, host, event, sequence", parts[1][2] == b"2023-11-14T22:13:20.002Z" and parts[1][3] == b"h__st_a"
          and parts[1][5] == b"violation" and parts[1][6] == b"2", parts[1].groups())
    check("the message is the record's line", lines_of(messages) == lines)
    status, out, _ = place.run("--vm", "vm1", log)
    check("a filter", lines_of(out.split(b"\n")[:-1]) == lines[1::2])
    asked = [("log_opened", {"class_uid": 1008}, {}), ("control_granted", {"class_uid": 6003, "actor": {"user": {"uid": "0"}}}, {"details": {"login_uid": 4321}}),
             ("passt_started", {"class_uid": 6002}, {"details": {"login_uid": 4321}})]
    write_log(f"{place.folder}/asked.jsonl", chained(asked))
    status, out, _ = place.run("--user", "4321", f"{place.folder}/asked.jsonl")
    check("a filter by who logged in, whoever he became", status == 0 and [line.split()[5] for line in out.split(b"\n")[:-1]] == [b"control_granted"], out)
    check("no such form", place.run("--form", "xml", log)[0] == 2)
    journal(place, log, lines)


def journal(place, log, lines):
    """What systemd.journal-fields(7) calls its own, and ours, as the manual page has them."""
    status, out, _ = place.run("--form", "journal", log)
    entry, fields = out, []
    for _ in range(10):  # the first entry
        name, _, entry = entry.partition(b"\n") if b"=" not in entry.split(b"\n", 1)[0] else entry.partition(b"=")
        if name == b"MESSAGE":
            size = struct.unpack("<Q", entry[:8])[0]
            fields.append((name, entry[8:8 + size]))
            entry = entry[9 + size:]
        else:
            value, _, entry = entry.partition(b"\n")
            fields.append((name, value))
    wanted = {b"MESSAGE": b"record 0\nof many", b"PRIORITY": b"6", b"SYSLOG_FACILITY": b"13", b"SYSLOG_IDENTIFIER": b"cofferdam",
              b"COFFERDAM_EVENT": b"log_opened", b"COFFERDAM_VM": b"vm0", b"COFFERDAM_RUN": b"ab" * 16, b"COFFERDAM_SEQUENCE": b"1",
              b"COFFERDAM_TIME_MS": b"1700000000001", b"COFFERDAM_RECORD": lines[0]}
    check("the journal's form", status == 0 and dict(fields) == wanted and entry.startswith(b"\nMESSAGE\n"), fields)
    collector = Collector(f"{place.folder}/journal", socket.SOCK_DGRAM)
    process = place.start("--form", "journal", "--to", collector.path, log)
    good = collector.hear_until(lambda: len(collector.messages) >= len(lines))
    check("an entry of the journal is a datagram", good and process.wait(PATIENCE) == 0 and len(collector.messages) == len(lines) and all(
        entry.startswith(b"MESSAGE\n") and entry.endswith(b"\nCOFFERDAM_RECORD=" + line + b"\n") for entry, line in zip(collector.messages, lines)))
    collector.close()


def sockets(place, log, lines):
    for kind, word in ((socket.SOCK_DGRAM, "datagrams"), (socket.SOCK_STREAM, "a stream")):
        collector = Collector(f"{place.folder}/collector", kind)
        process = place.start("--to", collector.path, log)
        good = collector.hear_until(lambda: len(collector.messages) >= len(lines))
        check(f"all arrive as {word}", good and process.wait(PATIENCE) == 0 and lines_of(collector.messages) == lines)
        collector.close()
    status, _, error = place.run("--to", f"{place.folder}/collector", log)
    check("no collector", status == 125 and "cannot reach the collector" in error, error)


def killed(place, log, lines):
    """kill -9 at many moments: nothing is lost, and what comes twice comes in order."""
    cursor, collector = f"{place.folder}/cursor", Collector(f"{place.folder}/collector", socket.SOCK_DGRAM)
    kills = 0
    for _ in range(200):
        process = place.start("--to", collector.path, "--cursor", cursor, log)
        before = len(collector.messages)
        collector.hear_until(lambda: len(collector.messages) > before + 100 or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        kills += process.wait(PATIENCE) == -signal.SIGKILL
        while collector.hear(0):
            pass
        if process.returncode == 0:
            break
    got = lines_of(collector.messages)
    check("killed again and again: none is lost", list(dict.fromkeys(got)) == lines and kills > 1, (len(got), len(lines), kills))
    check("once all is handed on, nothing more is", place.run("--to", collector.path, "--cursor", cursor, log)[0] == 0 and not collector.hear(0))
    collector.close()


def broken_collector(place, log, lines):
    """A collector that goes away in the midst: what it was given counts, the rest comes later."""
    cursor, path = f"{place.folder}/cursor2", f"{place.folder}/collector"
    collector = Collector(path, socket.SOCK_DGRAM)
    collector.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    process = place.start("--to", path, "--cursor", cursor, log)
    collector.hear_until(lambda: len(collector.messages) >= 10)
    first = collector
    time_left = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < time_left and len(first.messages) < 20:
        first.hear(0.1)
    first.listener.shutdown(socket.SHUT_RD)  # what its queue holds was taken; nothing more is
    try:
        while data := first.listener.recv(1 << 20):
            first.messages.append(data)
    except BlockingIOError:
        pass
    status = process.wait(PATIENCE)
    check("a collector that goes away is an error", status == 125, (status, process.stderr.read()))
    first.close()
    second = Collector(path, socket.SOCK_DGRAM)
    process = place.start("--to", path, "--cursor", cursor, log)
    second.hear_until(lambda: process.poll() is not None)
    while second.hear(0):
        pass
    got = lines_of(first.messages + second.messages)
    check("and the next time it goes on: none is lost, none comes twice", process.returncode == 0 and got == lines, (len(got), len(lines)))
    second.close()


def follow(place):
    lines = chained(records(30))
    log, path, cursor = f"{place.folder}/growing.jsonl", f"{place.folder}/collector", f"{place.folder}/cursor3"
    write_log(log, lines[:10])
    collector = Collector(path, socket.SOCK_STREAM)
    process = place.start("--to", path, "--cursor", cursor, "--follow", log)
    check("what is there and vouched for is handed on", collector.hear_until(lambda: len(collector.messages) == 9))
    with open(log, "ab") as file:
        file.write(b"\n".join(lines[10:20]) + b"\n")
    check("what is added is handed on", collector.hear_until(lambda: len(collector.messages) == 19))
    collector.close()
    with open(log, "ab") as file:
        file.write(lines[20] + b"\n")
    line = process.stderr.readline() if select.select([process.stderr], [], [], PATIENCE)[0] else b""
    check("a break is said, once", b"trying again" in line, line)
    later = Collector(path, socket.SOCK_STREAM)
    with open(log, "ab") as file:
        file.write(b"\n".join(lines[21:]) + b"\n")
    check("it goes on where it was", later.hear_until(lambda: len(later.messages) >= 10) and lines_of(later.messages) == lines[19:29])
    os.rename(log, log + ".old")
    check("it ends when the log is moved, with its last record", later.hear_until(lambda: len(later.messages) >= 11) and process.wait(PATIENCE) == 0
          and process.stderr.read() == b"" and lines_of(later.messages) == lines[19:])
    later.close()


def tampered(place, lines):
    cursor, log = f"{place.folder}/cursor4", f"{place.folder}/tampered.jsonl"
    spoilt = [line.replace(b"vm1", b"vm7") if i == 41 else line for i, line in enumerate(lines)]
    write_log(log, spoilt)
    status, out, error = place.run(log)
    check("nothing behind an edited line", status == 20 and lines_of(out.split(b"\n")[:-1]) == lines[:41] and "edited" in error, (status, error))
    write_log(log, lines[:30])
    check("a cursor is made", place.run("--cursor", cursor, log)[0] == 0 and json.dumps(open(cursor, encoding="ascii").read()).count(" 30 ") == 1)
    write_log(log, lines[:20])
    status, out, error = place.run("--cursor", cursor, log)
    check("a log that lost records is found", status == 32 and not out and "rolled-back" in error, (status, error))
    other = chained([(code, outer | {"message": "other"}, inner) for code, outer, inner in records(60)])
    write_log(log, other)
    status, out, error = place.run("--cursor", cursor, log)
    check("a log made anew is found", status == 32 and not out and "rolled-back" in error, (status, error))
    write_log(cursor, [b"nonsense"])
    check("a cursor that is none", place.run("--cursor", cursor, log)[0] == 125)


def main():
    with tempfile.TemporaryDirectory(prefix="cofferdam-forward-") as folder:
        place = Place(folder)
        lines, log = chained(records(400)), f"{folder}/log.jsonl"
        write_log(log, lines)
        forms(place, log, lines)
        sockets(place, log, lines)
        killed(place, log, lines)
        broken_collector(place, log, lines)
        follow(place)
        tampered(place, lines)
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return 1 if counts["failed"] else 0


sys.exit(main())
