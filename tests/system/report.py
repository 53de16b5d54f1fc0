#!/usr/bin/env python3
"""The report as a reviewer sees it: made by the real program from the log of a real VM and from one that is hostile in
each of its strings, then rendered by headless Chromium. The page asks for nothing, runs nothing, says nothing on the
console, shows what the logs say, on paper as well, and is not blank. Needs B (build folder); the real VM needs a usable
/dev/kvm. KEEP: a folder for the pictures."""
import base64
import contextlib
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

from browser import Browser, pixels, printed_text, squeezed
from chained import chained, write_log
from events import are_events

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COFFERDAM = os.path.join(os.path.abspath(os.environ.get("B", "build")), "cofferdam")
BAIT = "</td><script>document.title='owned';console.log('ran')</script><img src=\"http://127.0.0.1:9/x\" onerror='x'>&lt;\u202e"
counts = {"passed": 0, "failed": 0}


def check(name, good, detail=""):
    counts["passed" if good else "failed"] += 1
    if not good:
        print(f"  FAILED: {name} {detail}")


def hostile(path):
    """A log whose every string is bait."""
    records = []
    for code in ("log_opened", "policy_loaded", "resource_opened", "vm_starting", "process_started", "vm_running",
                 "control_granted", "control_denied", "start_refused", "violation", "cap_reached", "vm_crashed"):
        api = code.startswith("control")
        details = {key: BAIT for key in ("path", "sha256", "policy", "reason", "operation", "process")}
        details |= {"uid": BAIT if api else 7, "login_uid": 8, "layers_absent": [BAIT, 3, BAIT]}
        records.append((code, {"class_uid": 6003 if api else 3004, "message": f"{code} {BAIT}", "severity": BAIT},
                        {"vm": BAIT, "policy": BAIT, "actor": {"uid": 1000, "login_uid": None, "name": BAIT}, "details": details}))
    write_log(path, chained(records))


def not_blank(png):
    width, height, each, rows = pixels(png)
    dark = sum(row[i] < 90 for row in rows[::2] for i in range(0, width * each, each))
    white = sum(row[i] > 250 for row in rows[::2] for i in range(0, width * each, each))
    total = width * height / 2
    return height > 400 and dark > total / 500 and white > total / 3


def report(place, *words):
    done = subprocess.run([COFFERDAM, "--host", f"{place}/host.yaml", "audit", "report", *words], capture_output=True, timeout=60,
                          check=False)
    path = f"{place}/report.html"
    with open(path, "wb") as file:
        file.write(done.stdout)
    return done.returncode, path, done.stdout.decode()


def look(browser, name, path):
    """What holds for every page; its text."""
    browser.open(path)
    text = browser.evaluate("document.body.innerText")
    picture, printed = browser.picture(), browser.printed()
    check(f"{name}: asks for nothing but itself", browser.requests() == [f"file://{path}"], browser.requests())
    check(f"{name}: nothing on the console", not browser.complaints(), browser.complaints())
    check(f"{name}: the title is ours", browser.evaluate("document.title") == "cofferdam: audit report")
    check(f"{name}: nobody is called compliant", re.findall(r"[^.;]*\bcompliant\b", text) == [" no program is compliant"], text[-1500:])
    check(f"{name}: no script, image, link or form", browser.evaluate("document.querySelectorAll('script,img,a,link,form,iframe').length") == 0)
    check(f"{name}: the picture is not blank", not_blank(picture))
    on_paper = printed_text(printed)
    parts = json.loads(browser.evaluate("JSON.stringify([...document.querySelectorAll('h1, h2, th, td')].map(part => part.innerText))"))
    check(f"{name}: a title and tables", sum(map(bool, parts)) > 20, parts)
    check(f"{name}: all of them are on the printed pages", all(squeezed(part) in on_paper for part in parts),
          [part for part in parts if squeezed(part) not in on_paper][:10])
    if "KEEP" in os.environ:
        with open(os.path.join(os.environ["KEEP"], f"{name}.png"), "wb") as file:
            file.write(picture)
    return text


def controls():
    """The table of the page and that of docs/compliance.md are one: what, which records, which clauses."""
    with open(f"{TOP}/monitor/audit/record_table.c", encoding="utf-8") as file:
        codes = dict(re.findall(r'\[(AUDIT_\w+)\] =\s*\{"(\w+)"', file.read()))
    with open(f"{TOP}/monitor/command/audit_controls.c", encoding="utf-8") as file:
        ours = re.findall(r'\{"([^"]+)",\s*\{([^}]*)\},\s*"([^"]+)"\}', file.read())
    with open(f"{TOP}/docs/compliance.md", encoding="utf-8") as file:
        theirs = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", file.read().split("## Records and the controls")[1].split("\n## ")[0], re.M)[1:]
    ours = [(": ".join(filter(None, (what, ", ".join(f"`{codes[event]}`" for event in re.findall(r"\w+", events) if event in codes)))), supports)
            for what, events, supports in ours]
    check("docs/compliance.md has the page's controls", len(ours) > 8 and ours == theirs, [pair for pair in zip(ours, theirs) if pair[0] != pair[1]])


def vouched(place):
    """Beside each record that nothing vouches for stands that, what a VM's run came to among them, and how many are in the totals."""
    run = "ab" * 16
    lines = chained([(code, {"class_uid": 3004, "message": code}, {"vm": "vm"}) for code in ("log_opened", "vm_running", "vm_paused", "vm_stopped")], run)
    write_log(f"{place}/end.jsonl", lines[:2] + lines[3:])
    status, _, source = report(place, f"{place}/end.jsonl")
    ran = source.split("<h2>What ran</h2>")[1].split("<h2>")[0]
    check("how a VM ended is not vouched for behind a break", status == 21 and re.search(r"vm_stopped <span class=\"bad\">after the break", ran), ran)
    check("nor counted as if it were", "is not the one that was written: 1. Nothing vouches" in source, source[:6000])
    zeros = base64.b64encode(bytes(32)).decode()
    with open(f"{place}/anchor", "w", encoding="utf-8") as file:
        file.write(f"cofferdam/{run}\n1\n{zeros}\nepoch 0\nline {zeros}\n\n\u2014 cofferdam/{run} {base64.b64encode(bytes(68)).decode()}\n")
    write_log(f"{place}/end.jsonl", lines)
    status, _, source = report(place, "--anchor", f"{place}/anchor", f"{place}/end.jsonl")
    check("nothing is in a log that was rolled back", status == 32 and source.count('<span class="bad">rolled-back</span>') == 1 + 2 + 4 and "written: 4. Nothing" in source,
          (status, source.count('<span class="bad">rolled-back</span>')))
    status, _, source = report(place, f"{place}/end.jsonl")
    check("what is whole has none of that", status == 0 and "Nothing vouches" not in source and 'class="bad"' not in source)


def main():
    controls()
    with tempfile.TemporaryDirectory(prefix="cofferdam-report-") as place:
        os.chmod(place, 0o755)
        with open(f"{place}/host.yaml", "w", encoding="utf-8") as file:
            file.write(f'cofferdam: 1\nfolders: {{runtime: "{place}/run", audit: "{place}/log"}}\n')
        with contextlib.closing(Browser()) as browser:
            hostile(f"{place}/hostile<b>.jsonl")
            status, path, _ = report(place, f"{place}/hostile<b>.jsonl")
            text = look(browser, "hostile", path)
            check("a log that nothing signs is reported as that", status == 0 and "unsigned-tail" in text and "not signed" in text)
            check("the bait is text", text.count("<script>document.title='owned'") >= len("abcdefghijkl") and "onerror='x'" in text)
            check("what would not show is shown", "\\u202e" in text and "\u202e" not in text)
            write_log(f"{place}/refused.jsonl", chained([("log_opened", {}, {})] + [(code, {"class_uid": 3004, "message": code}, {}) for code in (
                "control_denied", "start_refused", "run_refused", "policy_refused")]))
            status, path, source = report(place, f"{place}/refused.jsonl")
            check("every refusal of the page is in its total", status == 0 and "<b>4</b>refusals" in source, re.findall(r"<b>\d+</b>[a-z ]+", source))
            with open(f"{place}/hostile<b>.jsonl", "rb") as file:
                lines = file.read().split(b"\n")[:-1]
            write_log(f"{place}/broken.jsonl", lines[:1] + lines[2:])
            status, path, _ = report(place, f"{place}/broken.jsonl", f"{place}/not-there.jsonl")
            text = look(browser, "broken", path)
            check("a log with a gap, and one that is not there", status == 125 and "missing" in text and "not read" in text and "after the break" in text, text[:2000])
            vouched(place)
            if os.access("/dev/kvm", os.W_OK):
                real(browser, place)
            else:
                print("  skipped: a real VM: no usable /dev/kvm")
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return 1 if counts["failed"] else 0


def real(browser, place):
    name = "it's <b>&amp;.yaml"
    with open(f"{place}/{name}", "w", encoding="utf-8") as file:
        file.write("cofferdam: 1\nname: web-7\nkernel: builtin\nmachine: {vcpus: 2, memory: 64MiB}\n"
                   "disks: [{name: scratch, scratch: 1MiB, access: read-write}]\nlimits: {run_time: 1min}\n")
    done = subprocess.run([COFFERDAM, "--host", f"{place}/host.yaml", "run", f"{place}/{name}"], capture_output=True, timeout=90, check=False)
    check("a VM runs", done.returncode == 0, done.stderr)
    check("every line of the logs is an event of OCSF", *are_events(place))
    logs = sorted(glob.glob(f"{place}/log/*.jsonl"))
    key = subprocess.run([COFFERDAM, "--host", f"{place}/host.yaml", "audit", "keygen"], capture_output=True, timeout=60, check=True, text=True).stdout.strip()
    status, path, source = report(place, "--host-log", f"{place}/log/host.jsonl", "--pubkey", key, *[log for log in logs if "host.jsonl" not in log])
    text = look(browser, "real", path)
    check("a sealed log is called that", status == 0 and re.search(r"\bsealed\b", text), text[:1500])
    for part in ("VM web-7 ended: power-off", name, "What ran", "Who did what", "Refusals", "Jails as verified", "PCI DSS 10.2.1.7",
                 "kernel opened: builtin"):
        check(f"the page says '{part}'", part in text, text[:3000] if counts["failed"] == 0 else "")
    check("nothing raw of the policy's name", "it's <b>" not in source and "it&#39;s &lt;b&gt;&amp;amp;.yaml" in source)
    status, path, _ = report(place, "--vm", "other", *logs[:1])
    check("a filter is said", "Filtered; VM other" in look(browser, "filtered", path))


sys.exit(main())
