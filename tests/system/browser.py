"""A page as headless Chromium (Debian's package) sees it: what it asked for, what its console said, its text, its
picture. Speaks the DevTools protocol over a pipe; every answer is waited for and bounded in time."""
import base64
import ctypes
import json
import os
import re
import select
import signal
import struct
import subprocess
import tempfile
import time
import unicodedata
import zlib

PATIENCE = 60
PR_SET_CHILD_SUBREAPER = 36


def children():
    """Of the calling thread, which starts all that this process starts."""
    with open("/proc/thread-self/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


class Browser:
    def __init__(self):
        self.profile = tempfile.TemporaryDirectory(prefix="cofferdam-chromium-")
        self.not_ours = children()
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")
        commands, answers = os.pipe(), os.pipe()
        saved = commands[0], answers[1]

        def set_pipes():
            kept = os.dup(saved[0]), os.dup(saved[1])  # beyond 3 and 4
            os.dup2(kept[0], 3)
            os.dup2(kept[1], 4)

        # Big enough that the copies above are beyond 4 whatever is open.
        spare = [os.open("/dev/null", os.O_RDONLY) for _ in range(6)]
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
             "--window-size=1200,1600", f"--user-data-dir={self.profile.name}", "--remote-debugging-pipe", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
            preexec_fn=set_pipes)
        for descriptor in (*spare, commands[0], answers[1]):
            os.close(descriptor)
        self.commands, self.answers = commands[1], answers[0]
        self.buffer, self.last, self.events = b"", 0, []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Network", "Log", "Runtime", "Page"):
            self.call(f"{domain}.enable")

    def message(self, deadline):
        while b"\0" not in self.buffer:
            if not select.select([self.answers], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self.answers, 1 << 20)
            if not data:
                raise EOFError("Chromium is gone")
            self.buffer += data
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def call(self, method, **parameters):
        self.last += 1
        command = {"id": self.last, "method": method, "params": parameters}
        if getattr(self, "session", None):
            command["sessionId"] = self.session
        os.write(self.commands, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self.message(deadline)
            if message.get("id") == self.last:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def open(self, path):
        self.events.clear()
        self.call("Page.navigate", url=f"file://{path}")
        deadline = time.monotonic() + PATIENCE
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message(deadline))

    def evaluate(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def requests(self):
        return [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]

    def complaints(self):
        return [event["params"] for event in self.events if event["method"] in
                ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")]

    def picture(self):
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def printed(self):
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def close(self):
        """Chromium's helpers outlive it by a moment and still write to the profile: they come to us as orphans."""
        self.process.kill()
        self.process.wait()
        while orphans := [pid for pid in children() if pid not in self.not_ours]:
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
            for pid in orphans:
                os.waitpid(pid, 0)
        os.close(self.commands)
        os.close(self.answers)
        self.profile.cleanup()


def printed_text(pdf):
    """The text of the pages that Chromium printed, squeezed: what who searches or copies it gets. What is drawn has glyphs in
    hexadecimal, and each font a table of which characters they are (ISO 32000, 9.10.3)."""
    objects = dict(re.findall(rb"^(\d+) 0 obj\n(.*?)\nendobj$", pdf, re.S | re.M))

    def stream(body):
        head, _, data = body.partition(b"stream\n")
        data = data.rpartition(b"\nendstream")[0]
        return zlib.decompress(data) if b"/FlateDecode" in head else data

    def characters(font):
        """Of each glyph, and how many digits one has."""
        known, hexadecimal = {}, rb"<([0-9A-Fa-f]+)>"
        table = stream(objects[re.search(rb"/ToUnicode (\d+) 0 R", font)[1]])
        for part in re.findall(rb"beginbfchar(.*?)endbfchar", table, re.S):
            for glyph, text in re.findall(rb" ".join([hexadecimal] * 2), part):
                known[int(glyph, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be", "replace")
        for part in re.findall(rb"beginbfrange(.*?)endbfrange", table, re.S):
            for first, last, text in re.findall(rb" ".join([hexadecimal] * 3), part):
                for glyph in range(int(first, 16), int(last, 16) + 1):
                    known[glyph] = chr(int(text, 16) + glyph - int(first, 16))
        return known, 4 if b"/Type0" in font else 2

    fonts = {name: characters(objects[font]) for name, font in re.findall(rb"/(F\d+) (\d+) 0 R", pdf)}
    text = []
    for body in objects.values():
        known = None
        for name, glyphs in re.findall(rb"/(F\d+) [-.\d]+ Tf|(?<!ActualText )<([0-9A-Fa-f]+)>", stream(body)):
            if name:
                known, digits = fonts[name]
            elif known is not None:
                text += [known.get(int(glyphs[at:at + digits], 16), "\ufffd") for at in range(0, len(glyphs), digits)]
    return squeezed("".join(text))


def squeezed(text):
    """Without white space, and each character as another that is read as the same."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def pixels(png):
    """Width, height, and each row's bytes, three or four a pixel (PNG, 8 bits, not interlaced)."""
    at, data = 8, b""
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at:at + 8])
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", png[at + 8:at + 8 + size])
            assert depth == 8 and colour in (2, 6) and not interlaced
        elif kind == b"IDAT":
            data += png[at + 8:at + 8 + size]
        at += 12 + size
    each = 3 if colour == 2 else 4
    data, stride, rows, above = zlib.decompress(data), width * each, [], bytes(width * each)
    for start in range(0, height * (stride + 1), stride + 1):
        filtered, row = data[start], bytearray(data[start + 1:start + 1 + stride])
        for i in range(stride) if filtered else ():
            left, up, corner = row[i - each] if i >= each else 0, above[i], above[i - each] if i >= each else 0
            if filtered == 4:
                nearest = left + up - corner
                distances = abs(nearest - left), abs(nearest - up), abs(nearest - corner)
                guess = (left, up, corner)[distances.index(min(distances))]
            else:
                guess = (0, left, up, (left + up) // 2)[filtered]
            row[i] = (row[i] + guess) & 255
        rows.append(bytes(row))
        above = rows[-1]
    return width, height, each, rows
