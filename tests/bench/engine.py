"""The two engines that a disk could have (tests/bench/engine.c), without a VM: random requests of 4 KiB on a file, from the page
cache and past it. What docs/devices.md says of the choice between them is from here.
"""
import subprocess

import subjects
from report import Row

IMAGE_MIB = 256
SECONDS = 1
PATIENCE_S = 60
WAYS = (("cache", "in the page cache"), ("direct", "O_DIRECT"))
DEPTHS = ((1, "one at a time"), (32, "32 at once"))
ENGINES = (subjects.Subject("cofferdam", "preadv and pwritev, one after another: cofferdam's engine"),
           subjects.Subject("ring", "io_uring, restricted"))


def measure_once(words):
    """(requests a second, us of processor time each)"""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    if done.returncode != 0:
        raise OSError(done.stderr.strip() or f"status {done.returncode}")
    count, took, processor = (int(word) for word in done.stdout.split())
    return count * 1e9 / took, processor / count / 1000


def measure_test(tools, image, times, operation, way, depth):
    title = f"engine: random {operation}s of 4 KiB, {way[1]}, {depth[1]}"
    key = f"engine-{operation}-{way[0]}-{depth[0]}"
    rows = [(Row(key, title, engine, "/s"), Row(f"{key}-cpu", f"{title}: processor time each", engine, "us")) for engine in ENGINES]
    for _ in range(times):
        for speed, cost in rows:
            name = "ring" if speed.subject.key == "ring" else "calls"
            try:
                rate, used = measure_once([str(tools / "engine"), str(image), operation, way[0], name, str(depth[0]), str(SECONDS)])
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                speed.fail(str(error))
                continue
            speed.add(rate)
            cost.add(used)
    return [row[0] for row in rows] + [row[1] for row in rows if row[1].values]


def measure(tools, work, times):
    image = work / "engine.img"
    subjects.make_image(image, IMAGE_MIB << 20)
    try:
        return [row for operation in ("read", "write") for way in WAYS for depth in DEPTHS
                for row in measure_test(tools, image, times, operation, way, depth)]
    finally:
        image.unlink()
