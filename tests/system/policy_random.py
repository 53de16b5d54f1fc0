"""Part of policy.py: policies that nobody would write, each read by `check` and by Python's loader, which shares no code
with libyaml. Whatever `check` accepts must mean the same to both."""
import json
import os
import random

import yaml

from policy_tools import check, run, write

# What YAML gives a meaning to, somewhere.
PIECES = ["a", "b1", "Z", "0", "010", "1e3", "0x1F", "1_000", "12:30:45", "2001-01-01", ".5", "yes", "on", "null", "~", "<<", "=", "!",
          "&x", "*x", "%", "@", "`", "|", ">", "-", "- ", "?", "? ", ":", ": ", ",", "[", "]", "{", "}", "#", " #", "'", "''",
          '"', "\\", "\\\\", '\\"', "\\x41", "\\u00e9", "\\t", "\\/", "\\ ", "\t", " ", "  ", "é", "日", "—", "\u00a0", "/", "."]
# A key whose value is a text, a place in the file for it, and where the same lies in what Python reads.
TEXTS = {"name": lambda value: value["name"],
         "cmdline": lambda value: value["cmdline"],
         "initrd.path": lambda value: value["initrd"]["path"],
         "disks[d].serial": lambda value: value["disks"][0]["serial"],
         "waivers[0].reason": lambda value: value["waivers"][0]["reason"]}


def scalar(chance):
    """A text of 1 to 5 pieces, as it is, in one kind of quotes or in the other; now and then with the end missing."""
    text = "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 5)))
    style = chance.choice(["plain", "single", "double"])
    if style == "single":
        text = "'" + (text.replace("'", "''") if chance.random() < 0.8 else text) + "'"
    elif style == "double":
        text = '"' + (text.replace('"', '\\"') if chance.random() < 0.8 else text) + '"'
    return text


def gap(chance):
    return chance.choice([" ", " ", "  ", "  ", "\t"]) if chance.random() < 0.1 else ""


def policy(chance):
    """A policy with one or two texts of chance; the rest is good, in a layout of chance."""
    value = {key: "a" for key in TEXTS}
    for key in chance.sample(sorted(TEXTS), chance.randint(1, 2)):
        value[key] = scalar(chance)
    lines = ["cofferdam: 1", f"name:{gap(chance)} {value['name']}{gap(chance)}", f"cmdline: {value['cmdline']}", "kernel: builtin"]
    disk = [("name", "d"), ("scratch", "1MiB"), ("serial", value["disks[d].serial"])]
    waiver = [("finding", "raw-console"), ("until", "2099-01-01"), ("reason", value["waivers[0].reason"])]
    for name, keys, is_list in (("initrd", [("path", value["initrd.path"])], False), ("disks", disk, True), ("waivers", waiver, True)):
        chance.shuffle(keys)
        indent = " " * chance.randint(1, 5)
        comma = gap(chance) + "," + (" " + gap(chance))
        if chance.random() < 0.5:
            flow = "{" + gap(chance) + comma.join(f"{key}: {text}" for key, text in keys) + chance.choice(["", " ", ","]) + "}"
            lines.append(f"{name}: " + (f"[{flow}]" if is_list else flow))
        else:
            block = [f"{key}: {text}" for key, text in keys]
            lines.append(f"{name}:" + gap(chance))
            lines += [indent + ("- " if is_list and i == 0 else "  " if is_list else "") + line for i, line in enumerate(block)]
    if chance.random() < 0.15:
        at = chance.randrange(len(lines) + 1)
        lines.insert(at, chance.choice(["", "# c", "  # c\td", "\t", "---", "...", "- a", " a"]))
    if chance.random() < 0.15:
        at = chance.randrange(len(lines))
        lines[at] += chance.choice([" # c", "\t# c", " ", "\t", "#c", " #"])
    text = chance.choice(["\n", "\n", "\n", "\r\n"]).join(lines) + chance.choice(["\n", ""])
    for _ in range(chance.choice([0, 0, 0, 0, 0, 0, 1, 2])):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(PIECES + ["\n", ""]) + text[at + chance.randint(0, 1):]
    return text


def keys_of(value, path=""):
    """The keys that Python sees, as `explain` writes them; a word in a group's place is the group's."""
    if isinstance(value, dict):
        return {key for name, inner in value.items() for key in keys_of(inner, f"{path}.{name}" if path else name)}
    if isinstance(value, list):
        return {key for i, inner in enumerate(value)
                for key in keys_of(inner, f"{path}[{inner['name'] if isinstance(inner, dict) and 'name' in inner else i}]")}
    return {path}


def random_policies(place):
    """The same each time, but for who gives a POLICY_SEED."""
    seed = os.environ.get("POLICY_SEED", "1")
    rounds = int(os.environ.get("POLICY_ROUNDS", "1000"))
    path, accepted, quoted = os.path.join(place, "random.yaml"), 0, 0
    for number in range(rounds):
        text = policy(random.Random(f"{seed}/{number}"))
        write(path, text.encode())
        result = run("explain", "--json", "all", path)
        if result.returncode != 0:
            continue
        accepted += 1
        ours = {value["key"]: value["value"] or "" for value in json.loads(result.stdout) if value["line"]}
        try:
            theirs = yaml.load(text, yaml.BaseLoader)
            same = keys_of(theirs) == set(ours) and all(ours[key] == find(theirs) for key, find in TEXTS.items() if key in ours)
        except (yaml.YAMLError, LookupError, TypeError) as error:
            theirs, same = error, False
        quoted += any(mark in text for mark in "'\"")
        check(f"POLICY_SEED={seed}, round {number}: {text!r}", same, f"is {ours}, and to Python {theirs}")
    check("enough is accepted, and not of one kind", accepted > rounds / 10 and rounds / 20 < quoted < accepted, (accepted, quoted))
