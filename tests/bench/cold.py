"""Random reads of what the host has not in its memory: before each turn the image's pages leave the page cache, and the bench looks
whether they did. This is where an engine that has one read on its way would be slower than one that has many; whatever comes of it is
shown. What lies below the host's file system (a controller's cache, the host of a virtual machine) is
as it is.
"""
import ctypes
import mmap
import os

import machine
import subjects
import throughput

IMAGE_MIB = 256    # few of its pages are read twice in a turn
MOST_RESIDENT = 0.01
TESTS = (
    ("cold-1", "disk, not in the page cache: random reads of 4 KiB, one at a time", throughput.OPERATIONS,
     "bench=blk:2000 random", "cold"),
    ("cold-32", "disk, not in the page cache: random reads of 4 KiB, 32 at once", throughput.OPERATIONS,
     "bench=blk:4000 random depth=32", "cold"),
)
libc = ctypes.CDLL(None, use_errno=True)


def resident(path):
    """The share of a file's pages that are in the page cache."""
    with open(path, "r+b") as image, mmap.mmap(image.fileno(), 0, access=mmap.ACCESS_COPY) as pages:
        found = (ctypes.c_ubyte * (-(-len(pages) // mmap.PAGESIZE)))()
        first = ctypes.c_char.from_buffer(pages)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(len(pages)), found)
        del first  # or the mapping cannot end
        if failed:
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(each & 1 for each in found) / len(found)


def drop(path):
    with open(path, "rb") as image:
        os.fsync(image.fileno())  # what is to be written stays
        os.posix_fadvise(image.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    share = resident(path)
    if share > MOST_RESIDENT:
        raise machine.Failed(f"{share:.0%} of the image stays in the page cache: set TMPDIR to a folder on a disk")


def measure(machines, times, tools, work):
    image = work / subjects.IMAGES["cold"]
    subjects.make_image(image, IMAGE_MIB << 20)
    return [row for test in TESTS for row in throughput.measure_test(machines, times, test, tools, work, lambda: drop(image))]
