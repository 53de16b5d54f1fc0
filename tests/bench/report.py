"""What was measured, where, and how it is shown."""
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
from pathlib import Path


MOST = {"ms": "longest"}  # how the largest value of a unit is called


class Row:
    """One quantity of one subject: its values, or why there are none. `note`: what whoever reads them must know."""

    def __init__(self, key, title, subject, unit, note=None):
        self.key, self.title, self.subject, self.unit, self.note = key, title, subject, unit, note
        self.values, self.failures, self.reason = [], 0, None

    def add(self, value):
        self.values.append(value)

    def fail(self, reason):
        self.failures += 1
        self.reason = reason

    def median(self):
        return statistics.median(self.values) if self.values else None

    def quantile(self, share):
        ordered = sorted(self.values)
        return ordered[round(share * (len(ordered) - 1))] if ordered else None

    def ratios(self, rows):
        """To cofferdam's own, turn by turn: what the machine did meanwhile hit both alike. Where a turn failed it is not known
        which belong together."""
        ours = next((row for row in rows if row.key == self.key and row.subject.key == "cofferdam"), None)
        if ours is None or ours.failures + self.failures > 0 or len(ours.values) != len(self.values) or 0 in ours.values:
            return []
        return [theirs / own for theirs, own in zip(self.values, ours.values)]

    def as_dict(self, rows):
        median = self.median()
        ratios = Row(self.key, self.title, self.subject, "")
        ratios.values = self.ratios(rows)
        return {
            "what": self.key, "title": self.title, "subject": self.subject.key, "name": self.subject.title,
            "unit": self.unit, "count": len(self.values), "median": median, "p10": self.quantile(0.1),
            "p90": self.quantile(0.9), "most": self.quantile(1), "ratio": ratios.median(),
            "ratio_p10": ratios.quantile(0.1), "ratio_p90": ratios.quantile(0.9),
            "failures": self.failures, "reason": self.reason, "note": self.note, "values": self.values,
        }


def read(path, default=""):
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return default


def kvm_kind(cpuinfo):
    """A software KVM works without the processor's virtualisation."""
    flags = set(re.findall(r"^flags\s*:(.*)$", cpuinfo, re.M)[:1][0].split()) if "flags" in cpuinfo else set()
    for flag, name in (("svm", "hardware (AMD SVM)"), ("vmx", "hardware (Intel VMX)")):
        if flag in flags:
            return name
    return "software (PVM)" if Path("/sys/module/kvm_pvm").exists() else "software"


def version(command):
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return output.splitlines()[0] if output else None


def file_system(path):
    """The kind of file system below a path: where the log lies, its fsync is part of a launch."""
    best = ("", "unknown")
    for line in read("/proc/self/mounts").splitlines():
        words = line.split()
        if str(path).startswith(words[1]) and len(words[1]) >= len(best[0]):
            best = (words[1], words[2])
    return best[1]


def facts(build):
    cpuinfo = read("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.M)
    qemu = shutil.which("qemu-system-x86_64")
    return {
        "processor": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "kvm": kvm_kind(cpuinfo),
        "file system of the log": file_system(os.environ.get("TMPDIR", "/tmp")),
        "cofferdam": version([str(build / "cofferdam"), "--version"]),
        "qemu": version([qemu, "--version"]) if qemu else None,
        "load": os.getloadavg()[0],
        "root": os.geteuid() == 0,
    }


def as_json(result):
    """The values of a row in one line: there may be hundreds."""
    text = json.dumps(result, indent=2)
    return re.sub(r"\[\n[^][{}\"]*\]", lambda numbers: "[" + " ".join(numbers.group()[1:-1].split()) + "]", text)


def write_json(path, result):
    path.write_text(as_json(result) + "\n", encoding="utf-8")


def over_the_floor(rows):
    """The launch budget is counted from the floor of the same run; and what is over that of as many bare processes is the
    jail's, the policy's and the log's."""
    medians = {row["subject"]: row["median"] for row in rows if row["what"] == "first"}
    lines = []
    for subject, devices in (("cofferdam", 3), ("cofferdam-all", 6)):
        ours, one, many = (medians.get(key) for key in (subject, "floor", f"floor-{devices}"))
        if ours and one:
            lines.append(f"  cofferdam with {devices} devices is {ours - one:.2f} ms over the floor"
                         + (f", {ours - many:.2f} over that of as many processes" if many else ""))
    return lines


def amount(value, unit):
    if value is None:
        return "-"
    digits = {"ms": 2, "exits": 2, "us": 1, "%": 1}.get(unit, 0)
    return f"{value:.{digits}f}"


def as_table(result):
    lines = [f"{name}: {value}" for name, value in result["machine"].items()]
    lines += dict.fromkeys(f"note: {row['note']}" for row in result["rows"] if row["note"])
    title = None
    for row in result["rows"]:
        if row["title"] != title:
            lines += over_the_floor(result["rows"]) if row["what"] == "end" else []
            title = row["title"]
            unit = f", {row['unit']}" if row["unit"] else ""
            lines += ["", f"{title + unit:<78}{'median':>10}{'p10':>10}{'p90':>10}{MOST.get(row['unit'], 'most'):>10}"
                      f"{'ratio (p10 to p90)':>24}{'runs':>6}"]
        cells = "".join(f"{amount(row[key], row['unit']):>10}" for key in ("median", "p10", "p90", "most"))
        spread = f"{row['ratio']:.2f} ({row['ratio_p10']:.2f} to {row['ratio_p90']:.2f})" if row["ratio"] is not None else "-"
        lines.append(f"  {row['name']:<76}{cells}{spread:>24}{row['count']:>6}")
        if row["reason"]:
            lines.append(f"    failed {row['failures']} times: {row['reason']}")
    return "\n".join(lines)
