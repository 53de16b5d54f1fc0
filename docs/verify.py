#!/usr/bin/env python3
"""Checks an audit log of cofferdam: verify.py [--pubkey KEY] [--anchor FILE] LOG

It shares nothing with cofferdam but the format, and needs nothing but Python 3. Prints a verdict; the exit status is
that of `cofferdam audit verify`. A record's hash is RFC 9162's leaf hash, over the exact bytes of its line."""
import argparse, base64, collections, json, os, re, sys
from hashlib import sha256, sha512

STATUS = {"sealed": 0, "self-signed": 10, "unsealed": 11, "unsigned-tail": 12, "torn": 13, "edited": 20, "missing": 21,
          "inserted": 22, "out-of-order": 23, "spliced": 24, "rewritten": 25, "unknown-key": 26, "old-epoch": 27,
          "rolled-back": 32, "empty": 40, "not-a-log": 41}
Line = collections.namedtuple("Line", "record hash sequence previous run code key note before", defaults=[None] * 7)
START, NAME = Line(True, "0" * 64, 0), "(cofferdam/[0-9a-f]{32})"  # START: what record 1 follows
KEY = re.compile(NAME + r"\+([0-9a-f]{8})\+(\S{44})")
NOTE = re.compile(NAME + "\n(0|[1-9][0-9]*)\n(\\S{44})\nepoch (0|[1-9][0-9]*)\nline (\\S{44})\n(?:next (\\S{44})\n)?"
                  "\n\u2014 \\1 (\\S{92})\n")

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
def add(p, q):  # Ed25519 (RFC 8032), in extended coordinates
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P
def times(n, p):
    total = (0, 1, 1, 0)
    for bit in bin(n)[2:]:
        total = add(add(total, total), p if bit == "1" else (0, 1, 1, 0))
    return total
def point(data):
    sign, y = divmod(int.from_bytes(data, "little"), 2**255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        raise ValueError("not on the curve")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P
def is_signed(key, message, signature):
    s, base = int.from_bytes(signature[32:], "little"), point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    h = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % L
    try:
        p, q = times(s, base), add(point(signature[:32]), times(h, point(key)))
    except ValueError:
        return False
    return s < L and (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0
def unbase64(text):
    data = base64.b64decode(text)
    return data if base64.b64encode(data).decode() == text else b""
def key_id(name, key):
    return sha256(name.encode() + b"\n\x01" + key).digest()[:4]
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
        if (not (type(sequence) is type(record["time"]) is int and 0 < sequence < 2**63 and isinstance(code, str))
                or not re.fullmatch("[0-9a-f]{64}", previous) or not re.fullmatch("[0-9a-f]{32}", run)):
            return Line(False, hash)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return Line(False, hash)
    key = details.get("key") if code == "log_opened" and isinstance(details, dict) else None
    before, _, rest = data.partition(b',"checkpoint":"')
    note = rest[:-5].decode().replace("\\u000a", "\n") if rest.endswith(b'"}}}}') else ""
    key, before = read_key(key, "cofferdam/" + run), sha256(before).digest()
    return Line(True, hash, sequence, previous, run, code, key, note, before)

def fits(before, line):
    return (line.record and before.record and line.sequence == before.sequence + 1 and line.previous == before.hash
            and before.run in (None, line.run))
def root_of(peaks):  # (leaves, hash) of perfect subtrees, the largest first
    root = peaks[-1][1] if peaks else sha256(b"").digest()
    for _, left in reversed(peaks[:-1]):
        root = sha256(b"\1" + left + root).digest()
    return root
def judge_note(line, key, epoch, count, root):  # what is wrong with it, and the next epoch's key
    match = NOTE.fullmatch(line.note)
    if not match or not key:
        return "rewritten" if key else "unknown-key", None
    signature, following = unbase64(match[7]), match[6] and unbase64(match[6])
    if signature[:4] != key_id(match[1], key):
        return "old-epoch" if int(match[4]) < epoch else "unknown-key", None
    good = (is_signed(key, line.note[:line.note.index("\n\n") + 1].encode(), signature[4:]) and int(match[2]) == count
            and int(match[4]) == epoch and unbase64(match[3]) == root and unbase64(match[5]) == line.before
            and match[1] == "cofferdam/" + line.run and (following is None or following[:1] == b"\1"))
    return None if good else "rewritten", following and following[1:]
def judge_break(last2, last, first, after, bad, ended):  # `first` does not fit after `last`
    following = after[0] if after else None
    if last is START and not first.record:
        return "not-a-log"
    if bad:  # the line after it tells whether this one alone was edited
        alone = following and following.sequence == first.sequence + 1 and following.previous != first.hash
        return "edited" if alone else bad
    if ended == "sealed" or (ended and first.code != "checkpoint"):
        return "inserted"
    if first.record and last.run not in (None, first.run):
        return "spliced"
    if following and fits(last, following):
        swapped = fits(following, first) and not (len(after) > 1 and fits(following, after[1]))
        return "out-of-order" if swapped else "inserted"
    if first.record and last2 and fits(last2, first):
        return "inserted"
    if not first.record or first.sequence == last.sequence + 1 or first.previous == last.hash:
        return "edited"
    moved = any(l.record and last.sequence < l.sequence < first.sequence and l.run == first.run for l in after)
    return "out-of-order" if first.sequence <= last.sequence or moved else "missing"

def judge(lines, torn, pinned, anchor):
    peaks, key, epoch, signed, ended, anchored = [], None, 0, 0, "", not anchor
    for i, line in enumerate(lines[1:], 1):
        bad, following = None, None
        good = fits(lines[i - 1], line) and (not ended or (ended == "closed" and line.code == "checkpoint"))
        if good and i == 1:
            bad, key = "unknown-key" if pinned and line.key != pinned else None, line.key
        elif good and line.code == "checkpoint":
            bad, following = judge_note(line, key, epoch, i - 1, root_of(peaks))
        if bad or not good:
            return judge_break(lines[i - 2] if i > 1 else None, lines[i - 1], line, lines[i + 1:], bad, ended)
        peaks.append((1, bytes.fromhex(line.hash)))
        while len(peaks) > 1 and peaks[-2][0] == peaks[-1][0]:
            peaks[-2:] = [(2 * peaks[-1][0], sha256(b"\1" + peaks[-2][1] + peaks[-1][1]).digest())]
        anchored |= bool(anchor) and anchor == ("cofferdam/" + line.run, i, root_of(peaks))
        signed, ended = (i, ended and "sealed") if line.code == "checkpoint" else (signed, "")
        ended = "closed" if line.code == "log_closed" else ended
        key, epoch = (following, epoch + 1) if following else (key, epoch)
    if torn and ended == "sealed":
        return "inserted"
    if not anchored or (len(lines) == 1 and not torn):
        return "empty" if anchored else "rolled-back"
    if torn or signed < len(lines) - 1:
        return "torn" if torn else "unsigned-tail"
    return "unsealed" if ended != "sealed" else "sealed" if pinned else "self-signed"
parser = argparse.ArgumentParser(description="Checks an audit log of cofferdam.")
parser.add_argument("--pubkey", type=lambda text: read_key(open(text).read().strip() if os.path.exists(text) else text)
                    or sys.exit(f"{text} is not a public key"))
parser.add_argument("--anchor", type=lambda path: NOTE.fullmatch(open(path, encoding="utf-8").read())
                    or sys.exit(f"{path} is not a checkpoint"))
parser.add_argument("log")
words = parser.parse_args()
*whole, torn = open(words.log, "rb").read().split(b"\n")
anchor = words.anchor and (words.anchor[1], int(words.anchor[2]), unbase64(words.anchor[3]))
verdict = judge([START] + [read_line(line) for line in whole], torn != b"", words.pubkey, anchor)
print(f"{words.log}: {verdict}")
sys.exit(STATUS[verdict])
