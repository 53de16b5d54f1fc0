"""What the cases of the hostile guest (tests/guests/hostile) must amount to: which kinds of attack they are of, how many of them
differ, and what a second processor adds. A table that the guest no longer goes through, or a second processor that does not
start, makes no case fail: it makes them fewer. hostile.py reads the guest's lines and asks here."""
import os

# Attacks that broke monitors before; the number is the second column of the guest's tables.
CLASSES = {
    1: "descriptors in a loop, chains too long or out of order", 2: "a head or a link beyond the table",
    3: "buffers that wrap, or leave RAM", 4: "what changes between check and use", 5: "indirect descriptors",
    6: "a queue selected that is not there", 7: "sizes of queues", 8: "a queue changed after it is ready",
    9: "a reset while requests are in flight", 10: "the same head twice, rings as data",
    11: "an index that jumps, kicks without end",
    12: "requests or answers that pile up", 13: "mistakes repeated until something leaks", 14: "a device's buffer in registers",
    15: "used lengths that say too much", 16: "where rings lie", 17: "features and status out of order",
    18: "configuration past its end", 19: "accesses that are misaligned, or straddle", 20: "ports, and memory that is not there",
    21: "storms of kicks and interrupts", 22: "vsock", 23: "network", 24: "disk", 25: "entropy", 26: "console", 27: "balloon",
    28: "a flood of what is logged", 29: "kernel images",
}
NEED_SECOND = {4}
NEED_NETWORK = {23, 28}
HELD_ELSEWHERE = {29: ("tests/system/kernels.sh", "tests/unit/vmm_bzimage.c", "fuzz/loader.c")}  # read before any guest runs

# Of different pairs of name and argument: all, and how many of them only a network, or a second processor, brings about.
DISTINCT, OF_NETWORK, OF_SECOND = 711, 169, 14
LEAST_DISTINCT = 250

# Tried on each ring by two processors at once, and once on the machine.
PAIRS = {*(f"fetch-{field}" for field in ("address", "length", "flags", "next", "head", "index", "used", "data")),
         "both-reset", "both-handshake", "both-queue", "both-acknowledge", "reset-from-the-other"}
PAIR_OF_MACHINE = "kick-from-both"

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Cases:
    """Those of one boot."""

    def __init__(self):
        self.classes, self.distinct, self.pairs = set(), set(), set()

    def add(self, device, number, name, argument):
        self.classes.add(number)
        self.distinct.add((name, argument))
        if name in PAIRS or name == PAIR_OF_MACHINE:
            self.pairs.add((device, name))

    def promises(self, second, network, rings, said):
        """Each with whether it holds, and what does not. `rings`: where pairs must be tried; `said`: the guest's output."""
        absent = set() if second else NEED_SECOND
        wanted = CLASSES.keys() - HELD_ELSEWHERE.keys() - absent - (set() if network else NEED_NETWORK)
        differ = [f"{number}: {CLASSES.get(number, 'no class')}" for number in sorted(self.classes ^ wanted)]
        yield "every class of attack, and no other", not differ, differ
        missing = [file for files in HELD_ELSEWHERE.values() for file in files if not os.path.exists(f"{top}/{file}")]
        yield "the tests of the other classes are there", not missing, missing
        near = DISTINCT - (0 if second else OF_SECOND) - (0 if network else OF_NETWORK)
        yield (f"{len(self.distinct)} different cases, about {near}",
               len(self.distinct) >= LEAST_DISTINCT and abs(len(self.distinct) - near) <= near // 20, [])
        processors = b"a second processor" if second else b"one processor"
        has = any(b"hostile guest: " in line and processors in line for line in said)
        yield "the guest has its processors", has, [str(line) for line in said[:5]]
        pairs = {(ring, name) for ring in rings for name in PAIRS} | {("machine.0", PAIR_OF_MACHINE)} if second else set()
        differ = [str(pair) for pair in sorted(self.pairs ^ pairs)]
        yield "what needs two processors was tried with two", not differ, differ
