#!/usr/bin/env python3
"""Checks an audit log; shares nothing with cofferdam but the format. Verdicts and options (no --json) are its `audit verify`'s."""
import argparse, base64, collections, itertools, json, os, re, sys
from functools import reduce
from hashlib import sha256, sha512
STATUS = {"sealed": 0, "self-signed": 10, "unsealed": 11, "unsigned-tail": 12, "torn": 13, "edited": 20, "missing": 21,
          "inserted": 22, "out-of-order": 23, "spliced": 24, "rewritten": 25, "unknown-key": 26, "old-epoch": 27,
          "cut": 30, "replaced": 31, "rolled-back": 32, "run-missing": 33, "continued": 14, "empty": 40, "not-a-log": 41}
Line = collections.namedtuple("Line", "record hash sequence previous run code details note before start", defaults=8 * [None])
START, NAME = Line(True, "0" * 64, 0, start=(0, [])), "(cofferdam/[0-9a-f]{32})"  # what record 1 follows
SEALS, STARTS = {"closed": "sealed", "rotating": "rotated"}, ("run_started", "run_refused")
NUMBER, DIGIT = "(0|[1-9][0-9]{0,15})", "[A-Za-z0-9+/]"  # of base64: spare bits of the last are 0, a key's first byte is 1
HASH, TYPED, SIGNED = f"({DIGIT}{{42}}[AEIMQUYcgkosw048]=)", f"(A[Q-Za-f]{DIGIT}{{42}})", f"({DIGIT}{{90}}[AEIMQUYcgkosw048]=)"
KEY, LATER = re.compile(rf"{NAME}\+([0-9a-f]{{8}})\+{TYPED}"), re.compile(r"(?<=[^/])\.[0-9]+\.jsonl\Z")
NOTE = re.compile(f"{NAME}\n{NUMBER}\n{HASH}\nepoch {NUMBER}\nline {HASH}\n(?:next {TYPED}\n)?\n\u2014 \\1 {SIGNED}\n")
P, L, D = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493, -121665 * pow(121666, -1, 2**255 - 19)
def add(p, q):  # Ed25519 (RFC 8032), in extended coordinates
    a, b, c, d = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0]), 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P
def times(n, p): return reduce(lambda q, bit: add(add(q, q), p if bit == "1" else (0, 1, 1, 0)), bin(n)[2:], (0, 1, 1, 0))
def point(data):
    sign, y = divmod(int.from_bytes(data, "little"), 2**255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = x if ((x := pow(square, (P + 3) // 8, P)) * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and sign): raise ValueError("not on the curve")
    return (x := x if x & 1 == sign else P - x), y, 1, x * y % P
def is_signed(key, note, signature):
    s, base = int.from_bytes(signature[32:], "little"), point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    h = int.from_bytes(sha512(signature[:32] + key + note[:note.index("\n\n") + 1].encode()).digest(), "little") % L
    try: p, q = times(s, base), add(r := point(signature[:32]), times(h, a := point(key)))
    except ValueError: return False
    return s < L and times(8, r)[0] and times(8, a)[0] and all((p[i] * q[2] - q[i] * p[2]) % P == 0 for i in (0, 1))
def key_id(name, key): return sha256(name.encode() + b"\n\x01" + key).digest()[:4]
def read_key(text, name=NAME):  # None when it is not a key of that name
    match = KEY.fullmatch(text) if isinstance(text, str) else None
    key = base64.b64decode(match[3])[1:] if match and re.fullmatch(name, match[1]) else b""
    return key if key and key_id(match[1], key).hex() == match[2] else None
def read_start(details, count):  # a segment's: its epoch, and of what was before it (leaves, hash) of perfect subtrees
    sizes, epoch = [2**n for n in range(63, -1, -1) if count >> n & 1], details["epoch"]
    tree = [bytes.fromhex(re.fullmatch("[0-9a-f]{64}", hash)[0]) for hash in details["frontier"] + []]
    if type(epoch) is not int or epoch < 0 or len(tree) != len(sizes): raise ValueError
    return epoch, list(zip(sizes, tree))
def once(pairs): return dict(pairs) if len({key for key, _ in pairs if "\0" not in key}) == len(pairs) else {}["a key twice"]
def small(text): return int(text) if -2**63 <= int(text) < 2**63 else {}["a large number"]
def read_line(data):  # what one reader takes otherwise than another, or not at all, is a record to nobody
    hash = sha256(b"\0" + data).hexdigest()
    try:
        record = json.loads(data.decode() if len(data) < 32768 else "", object_pairs_hook=once, parse_int=small, parse_constant=int)
        own, code = record["unmapped"]["cofferdam"], record["metadata"]["event_code"]
        sequence, previous, run, details = own["sequence"], own["previous"], own["run"], {**own["details"]}
        if not (type(sequence) is type(record["time"]) is int and 0 < sequence < 2**53 and re.fullmatch("[^\0]*", code)
                and re.fullmatch("[0-9a-f]{64}", previous) and re.fullmatch("[0-9a-f]{32}", run) and b"\n" + 32 * b" " not in
                json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1).encode()): raise ValueError
        start = read_start(details, sequence - 1) if code == "log_continued" else None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError): return Line(False, hash)
    before, _, rest = data.partition(b',"checkpoint":"')
    note = rest[:-5].decode().replace("\\u000a", "\n") if rest.endswith(b'"}}}}') else ""
    return Line(True, hash, sequence, previous, run, code, details, note, sha256(before).digest(), start)
def read(path):  # a log's lines, and whether the last is torn; a rotated one goes on in PATH.2.jsonl, PATH.3.jsonl …
    later = itertools.takewhile(os.path.exists, (f"{path.removesuffix('.jsonl')}.{n}.jsonl" for n in itertools.count(2)))
    *whole, torn = b"".join(open(name, "rb").read() for name in [path, *later]).split(b"\n")
    lines, is_later = [read_line(line) for line in whole], LATER.search(path)
    start = lines[0] if is_later and lines and lines[0].start and lines[0].start[1] else None  # believed, read alone
    return [start._replace(hash=start.previous, sequence=start.sequence - 1) if start else START, *lines], torn != b""
def fits(before, line):
    return line.record and before.record and line[2:4] == (before.sequence + 1, before.hash) and before.run in (None, line.run)
def in_place(ended, line):  # what may follow a log's end and a segment's
    return {"": not line.start, "rotated": bool(line.start), "sealed": False}.get(ended, line.code == "checkpoint")
def root_of(peaks):  # the largest is the first
    return reduce(lambda r, p: sha256(b"\1" + p[1] + r).digest(), peaks[-2::-1], peaks[-1][1] if peaks else sha256().digest())
def judge_note(line, key, epoch, root):  # what is wrong with it, and the next epoch's key
    match = NOTE.fullmatch(line.note)
    if not match or not key or max(map(int, match.group(2, 4))) >= 2**53: return "rewritten" if key else "unknown-key", None
    following, signature = base64.b64decode(match[6] or "")[1:], base64.b64decode(match[7])
    if signature[:4] != key_id(match[1], key): return "old-epoch" if int(match[4]) < epoch else "unknown-key", None
    root, before = (base64.b64encode(hash).decode() for hash in (root, line.before))
    says = f"cofferdam/{line.run}\n{line.sequence - 1}\n{root}\nepoch {epoch}\nline {before}\n"
    return None if line.note.startswith(says) and is_signed(key, line.note, signature[4:]) else "rewritten", following
def judge_break(lines, i, bad, ended):  # line i does not fit; the one after it tells whether it alone was edited
    last2, last, first, following, next2 = [lines[n] if 0 <= n < len(lines) else None for n in range(i - 2, i + 3)]
    if last is START and not first.record: return "not-a-log"
    if bad: return "edited" if following and following[2] == first[2] + 1 and following.previous != first.hash else bad
    if ended == "sealed" or not in_place(ended, first) and (ended == "closed" or fits(last, first)): return "inserted"
    if first.record and last.run not in (None, first.run): return "spliced"
    if following and fits(last, following) and fits(following, first) and not (next2 and fits(following, next2)):
        return "out-of-order"
    if (following and fits(last, following)) or (first.record and last2 and fits(last2, first)): return "inserted"
    if not first.record or first.sequence == last.sequence + 1 or first.previous == last.hash: return "edited"
    moved = any(l.record and last.sequence < l.sequence < first.sequence and l.run == first.run for l in lines[i + 1:])
    return "out-of-order" if first.sequence <= last.sequence or moved else "missing"
def judge(lines, torn, pinned, other="unknown-key", final=(), anchor=()):  # final, anchor: (name, records, root)
    (epoch, peaks), alone, key, signed = lines[0].start, lines[0] is not START, None, 0
    peaks, ended, name = list(peaks), "rotated" if alone else "", f"cofferdam/{(lines + [START])[1].run}"
    points = {lines[0].sequence: (name, lines[0].sequence, root_of(peaks))} if alone else {}
    if alone and epoch and other == "replaced": pinned = None  # the host's log has the first epoch's key and no other
    for i, line in enumerate(lines[1:], 1):
        bad, new, good = None, None, fits(lines[i - 1], line) and in_place(ended, line)
        named = read_key(text := line.details.get("key") if good and (line.start or line.code == "log_opened") else None, name)
        if good and i == 1: bad, key = other if line.code == "checkpoint" or pinned not in (None, named and text) else None, named
        elif good and line.code == "checkpoint": bad, new = judge_note(line, key, epoch, root_of(peaks))
        elif good and line.start: bad = None if (*line.start, named) == (epoch, peaks, key) else "rewritten"
        if bad or not good: return judge_break(lines, i, bad, ended)
        peaks.append((1, bytes.fromhex(line.hash)))
        while len(peaks) > 1 and peaks[-2][0] == peaks[-1][0]:
            peaks[-2:] = [(2 * peaks[-1][0], sha256(b"\1" + peaks[-2][1] + peaks[-1][1]).digest())]
        if line.sequence in final[1:2] + anchor[1:2]: points[line.sequence] = name, line.sequence, root_of(peaks)
        ended = {"log_closed": "closed", "log_rotated": "rotating", "checkpoint": SEALS.get(ended, "")}.get(line.code, "")
        signed, (key, epoch) = i if line.code == "checkpoint" else signed, (new, epoch + 1) if new else (key, epoch)
    if torn and ended == "sealed": return "inserted"
    for point, gone, differs in (final, "cut", "replaced"), (anchor, "rolled-back", "rolled-back"):
        if point and points.get(point[1], point) != point: return differs
        elsewhere = alone and point[:1] == (name,) and (point[1] < lines[0].sequence or ended == "rotated")
        if point and point[1] not in points and not elsewhere: return gone
    if torn or signed < len(lines) - 1: return "torn" if torn else "unsigned-tail"
    whole = "sealed" if pinned or final and final[1] == lines[-1].sequence else "self-signed"
    return {"sealed": whole, "rotated": "continued"}.get(ended, "unsealed" if len(lines) > 1 else "empty")
def from_host(host, key, value):  # of a run: its first key, the most its log had, whether that was all, its log's name
    mine = [(line.code, line.details) for line in host if line.details and line.details.get(key) == value]
    start = next((details for code, details in mine if code in STARTS and "key" in details), {})
    had = [(("cofferdam/" + d["run"], d["count"], bytes.fromhex(d["root"])), {"run_started": False, "run_unsealed": d.get(
        "reason") in ("unsealed", "unsigned-tail", "torn")}.get(code, True)) for code, d in mine if d.get("count")]
    most = max((state for state, _ in had), key=lambda state: state[1], default=())
    return start.get("key") if read_key(start.get("key")) else None, most, (most, True) in had, start.get("log")
def check(path, run, host, pinned, anchor):  # a run's log, against what the host's log says of it
    there, name = os.path.exists(path), os.path.basename(LATER.sub(".jsonl", path))  # of the first segment
    lines, torn = read(path) if there else ([START], False)
    run = run or (lines + [START])[1].run or LATER.search(path) and "none"
    known, final, is_end, log = from_host(host, *(("run", run) if run else ("log", name)))
    if not there: return "run-missing" if known else sys.exit(f"there is no {path}")
    verdict = judge(lines, torn, known or "nobody's", "replaced" if known else "unknown-key", final, anchor)
    is_other = log not in (None, name) and from_host(host, "log", name)[0] or is_end and (lines[-1].sequence or 0) > final[1]
    return "replaced" if STATUS[verdict] < 20 and is_other else "self-signed" if verdict == "sealed" and not pinned else verdict
def verdicts(path, host_log, pinned, anchor):  # of each file: of those of all runs, when none is named
    if not host_log or path and os.path.abspath(host_log) in map(os.path.abspath, (path, LATER.sub(".jsonl", path))):
        return [(path, judge(*(log := read(path)), None if host_log and log[0][0].start[0] else pinned, anchor=anchor))]
    if STATUS[bad := judge(*(host := read(host_log)), pinned)] > 19: return [(host_log, bad)]
    lines = host[0][:max((i for i, line in enumerate(host[0]) if line.code == "checkpoint"), default=0) + 1]  # of what is signed
    runs = {line.details["run"]: line.details["log"] for line in lines if line.code in STARTS and "key" in line.details}
    each = [(os.path.join(os.path.dirname(host_log), log), run) for run, log in runs.items()] if not path else [(path, None)]
    return [(log, check(log, run, lines, pinned, anchor)) for log, run in each]
parser = argparse.ArgumentParser(description=__doc__)
for word in ("--pubkey", "--host-log", "--anchor", "log"): parser.add_argument(word, nargs=None if "-" in word else "?")
if not (words := parser.parse_args()).log and (words.anchor or not words.host_log): parser.error("name a log")
pinned = open(words.pubkey).read().strip() if words.pubkey and os.path.exists(words.pubkey) else words.pubkey
if pinned is not None and not read_key(pinned): sys.exit(f"{pinned} is not a public key")
match = words.anchor and (NOTE.fullmatch(open(words.anchor, encoding="utf-8").read()) or sys.exit("not an anchor"))
found = verdicts(words.log, words.host_log, pinned, (match[1], int(match[2]), base64.b64decode(match[3])) if match else ())
for about, verdict in found: print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in about) + f": {verdict}")
sys.exit(max([STATUS[verdict] for _, verdict in found], default=0))
