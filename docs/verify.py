#!/usr/bin/env python3
"""Checks an audit log of cofferdam with nothing but Python 3; shares nothing with cofferdam but the format. Prints a
verdict; options and exit status are `cofferdam audit verify`'s. Later segments are read with the first, not alone."""
import argparse, base64, collections, itertools, json, os, re, sys
from functools import reduce
from hashlib import sha256, sha512

STATUS = {"sealed": 0, "self-signed": 10, "unsealed": 11, "unsigned-tail": 12, "torn": 13, "edited": 20, "missing": 21,
          "inserted": 22, "out-of-order": 23, "spliced": 24, "rewritten": 25, "unknown-key": 26, "old-epoch": 27,
          "cut": 30, "replaced": 31, "rolled-back": 32, "run-missing": 33, "continued": 14, "empty": 40, "not-a-log": 41}
Line = collections.namedtuple("Line", "record hash sequence previous run code details note before", defaults=[None] * 7)
START, NAME = Line(True, "0" * 64, 0), "(cofferdam/[0-9a-f]{32})"  # what record 1 follows
AFTER = {"closed": "checkpoint", "rotating": "checkpoint", "rotated": "log_continued"}
SEALS, STARTS = {"closed": "sealed", "rotating": "rotated"}, ("run_started", "run_refused")
KEY = re.compile(NAME + r"\+([0-9a-f]{8})\+(\S{44})")
NOTE = re.compile(NAME + "\n(0|[1-9][0-9]*)\n(\\S{44})\nepoch (0|[1-9][0-9]*)\nline (\\S{44})\n(?:next (\\S{44})\n)?"
                  "\n\u2014 \\1 (\\S{92})\n")
P, L, D = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493, -121665 * pow(121666, -1, 2**255 - 19)
def add(p, q):  # Ed25519 (RFC 8032), in extended coordinates
    a, b, c, d = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0]), 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P
def times(n, p):
    return reduce(lambda sum, bit: add(add(sum, sum), p if bit == "1" else (0, 1, 1, 0)), bin(n)[2:], (0, 1, 1, 0))
def point(data):
    sign, y = divmod(int.from_bytes(data, "little"), 2**255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and sign): raise ValueError("not on the curve")
    return (x := x if x & 1 == sign else P - x), y, 1, x * y % P
def is_signed(key, message, signature):
    s, base = int.from_bytes(signature[32:], "little"), point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    h = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % L
    try: p, q = times(s, base), add(point(signature[:32]), times(h, point(key)))
    except ValueError: return False
    return s < L and (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0
def unbase64(text): return data if base64.b64encode(data := base64.b64decode(text)).decode() == text else b""
def key_id(name, key): return sha256(name.encode() + b"\n\x01" + key).digest()[:4]
def read_key(text, name=NAME):  # None when it is not a key of that name
    match = KEY.fullmatch(text) if isinstance(text, str) else None
    typed = unbase64(match[3]) if match and re.fullmatch(name, match[1]) else b""
    return typed[1:] if typed[:1] == b"\1" and key_id(match[1], typed[1:]).hex() == match[2] else None
def read_line(data):
    hash = sha256(b"\0" + data).hexdigest()
    try:
        record = json.loads(data.decode() if len(data) < 32768 else "")
        own, code = record["unmapped"]["cofferdam"], record["metadata"]["event_code"]
        sequence, previous, run, details = own["sequence"], own["previous"], own["run"], own.get("details")
        if not (type(sequence) is type(record["time"]) is int and 0 < sequence < 2**63 and isinstance(code, str)
                and re.fullmatch("[0-9a-f]{64}", previous) and re.fullmatch("[0-9a-f]{32}", run)): raise ValueError
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError): return Line(False, hash)
    before, _, rest = data.partition(b',"checkpoint":"')
    note = rest[:-5].decode().replace("\\u000a", "\n") if rest.endswith(b'"}}}}') else ""
    details, before = details if isinstance(details, dict) else {}, sha256(before).digest()
    return Line(True, hash, sequence, previous, run, code, details, note, before)
def read(path):  # a log's lines, and whether the last is torn; a rotated one goes on in PATH.2.jsonl, PATH.3.jsonl …
    later = itertools.takewhile(os.path.exists, (f"{path.removesuffix('.jsonl')}.{n}.jsonl" for n in itertools.count(2)))
    *whole, torn = b"".join(open(name, "rb").read() for name in [path, *later]).split(b"\n")
    return [START] + [read_line(line) for line in whole], torn != b""
def fits(before, line):
    return (line.record and before.record and line.sequence == before.sequence + 1 and line.previous == before.hash
            and before.run in (None, line.run))
def in_place(ended, line):  # what may follow a log's end and a segment's
    return ended != "sealed" and (line.code == AFTER[ended] if ended in AFTER else line.code != "log_continued")
def root_of(peaks):  # (leaves, hash) of perfect subtrees, the largest first
    hashes = [hash for _, hash in reversed(peaks)] or [sha256(b"").digest()]
    return reduce(lambda root, left: sha256(b"\1" + left + root).digest(), hashes)
def judge_note(line, key, epoch, root):  # what is wrong with it, and the next epoch's key
    match = NOTE.fullmatch(line.note)
    if not match or not key: return "rewritten" if key else "unknown-key", None
    signature, following = unbase64(match[7]), match[6] and unbase64(match[6])
    if signature[:4] != key_id(match[1], key): return "old-epoch" if int(match[4]) < epoch else "unknown-key", None
    good = (is_signed(key, line.note[:line.note.index("\n\n") + 1].encode(), signature[4:])
            and int(match[2]) == line.sequence - 1 and int(match[4]) == epoch and unbase64(match[3]) == root
            and unbase64(match[5]) == line.before and match[1] == "cofferdam/" + line.run
            and (following is None or following[:1] == b"\1"))
    return None if good else "rewritten", following and following[1:]
def judge_break(last2, last, first, after, bad, ended):  # `first` does not fit after `last`
    following = after[0] if after else None
    if last is START and not first.record: return "not-a-log"
    if bad:  # the line after it tells whether this one alone was edited
        return "edited" if following and following[2] == first[2] + 1 and following.previous != first.hash else bad
    if ended == "sealed" or not in_place(ended, first) and (ended == "closed" or fits(last, first)): return "inserted"
    if first.record and last.run not in (None, first.run): return "spliced"
    if following and fits(last, following) and fits(following, first) and not any(fits(following, l) for l in after[1:2]):
        return "out-of-order"
    if (following and fits(last, following)) or (first.record and last2 and fits(last2, first)): return "inserted"
    if not first.record or first.sequence == last.sequence + 1 or first.previous == last.hash: return "edited"
    moved = any(l.record and last.sequence < l.sequence < first.sequence and l.run == first.run for l in after)
    return "out-of-order" if first.sequence <= last.sequence or moved else "missing"
def judge(lines, torn, pinned, other="unknown-key", final=None, anchor=None):  # final, anchor: (name, records, root)
    peaks, key, epoch, signed, ended, points = [], None, 0, 0, "", {}
    for i, line in enumerate(lines[1:], 1):
        bad, following, good = None, None, fits(lines[i - 1], line) and in_place(ended, line)
        begins, signs = good and line.code in ("log_opened", "log_continued"), line.code == "checkpoint"
        named = read_key(line.details.get("key"), "cofferdam/" + line.run) if begins else None
        if good and i == 1:
            bad, key = other if pinned and named != pinned else None, named
        elif good and signs:
            bad, following = judge_note(line, key, epoch, root_of(peaks))
        elif begins and line.code == "log_continued":
            start = [line.details.get("frontier"), line.details.get("epoch"), named]
            bad = None if start == [[hash.hex() for _, hash in peaks], epoch, key] else "rewritten"
        if bad or not good:
            return judge_break(lines[i - 2] if i > 1 else None, lines[i - 1], line, lines[i + 1:], bad, ended)
        peaks.append((1, bytes.fromhex(line.hash)))
        while len(peaks) > 1 and peaks[-2][0] == peaks[-1][0]:
            peaks[-2:] = [(2 * peaks[-1][0], sha256(b"\1" + peaks[-2][1] + peaks[-1][1]).digest())]
        if line.sequence in [point[1] for point in (final, anchor) if point]:
            points[line.sequence] = "cofferdam/" + line.run, line.sequence, root_of(peaks)
        ended = {"log_closed": "closed", "log_rotated": "rotating"}.get(line.code, SEALS.get(ended, "") if signs else "")
        signed, (key, epoch) = i if signs else signed, (following, epoch + 1) if following else (key, epoch)
    if torn and ended == "sealed": return "inserted"
    if final and points.get(final[1]) != final: return "replaced" if final[1] in points else "cut"
    if anchor and points.get(anchor[1]) != anchor: return "rolled-back"
    if torn or signed < len(lines) - 1: return "torn" if torn else "unsigned-tail"
    if len(lines) == 1: return "empty"
    return {"sealed": "sealed" if pinned else "self-signed", "rotated": "continued"}.get(ended, "unsealed")
def from_host(host, key, value):  # what the host's log says of a run: first key, the most its log had, its log's name
    mine = [(line.code, line.details) for line in host if line.details and line.details.get(key) == value]
    start = next((details for code, details in mine if code in STARTS and "key" in details), {})
    ends = [("cofferdam/" + d["run"], d["count"], bytes.fromhex(d["root"])) for _, d in mine if d.get("count")]
    return read_key(start.get("key")), max(ends, key=lambda end: end[1], default=None), start.get("log")
def check(path, run, host, pinned, anchor):  # a run's log, against what the host's log says of it
    there, name = os.path.exists(path), os.path.basename(path)
    lines, torn = read(path) if there else ([START], False)
    run = run or (lines + [START])[1].run
    known, final, log = from_host(host, *(("run", run) if run else ("log", name)))
    if not there: return "run-missing" if known else sys.exit(f"there is no {path}")
    verdict = judge(lines, torn, known or bytes(32), "replaced" if known else "unknown-key", final, anchor)
    if STATUS[verdict] < 20 and log != name and from_host(host, "log", name)[0]: verdict = "replaced"
    return "self-signed" if verdict == "sealed" and not pinned else verdict
def verdicts(path, host_log, pinned, anchor):  # of each file: of those of all runs, when none is named
    if not host_log: return [(path, judge(*read(path), pinned, anchor=anchor))]
    lines, torn = read(host_log)
    if STATUS[bad := judge(lines, torn, pinned)] > 19: return [(host_log, bad)]
    runs = {line.details["run"]: line.details["log"] for line in lines if line.code in STARTS and "key" in line.details}
    each = [(os.path.join(os.path.dirname(host_log), log), run) for run, log in runs.items()] if not path else [(path, None)]
    return [(log, check(log, run, lines, pinned, anchor)) for log, run in each]
parser = argparse.ArgumentParser(description=__doc__)
for word in ("--pubkey", "--host-log", "--anchor"): parser.add_argument(word)
parser.add_argument("log", nargs="?", help="none: those of all runs of the host's log")
if not (words := parser.parse_args()).log and (words.anchor or not words.host_log): parser.error("name a log")
text = words.pubkey and (open(words.pubkey).read().strip() if os.path.exists(words.pubkey) else words.pubkey)
pinned = text and (read_key(text) or sys.exit(f"{text} is not a public key"))
match = words.anchor and (NOTE.fullmatch(open(words.anchor, encoding="utf-8").read()) or sys.exit("not an anchor"))
found = verdicts(words.log, words.host_log, pinned, match and (match[1], int(match[2]), unbase64(match[3])))
for about, verdict in found: print(f"{about}: {verdict}")
sys.exit(max([STATUS[verdict] for _, verdict in found], default=0))
