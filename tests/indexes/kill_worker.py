"""Writes, replaces and deletes documents until it is killed; says on stdout what it is about to do and has done.

Run as a program: `python kill_worker.py FOLDER SEED`.
"""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from indexes import Index
from tests.indexes.records import IDENTITY, record

PATHS = [f"/docs/{number}.txt" for number in range(6)]


def version(path, number):
    """A document of 1 to 40 chunks; a version's number is in each of its chunks."""
    return record(*(f"{path} version {number} chunk {part}" for part in range(1 + number * 7 % 40)), path=path)


def main(folder, seed):
    choose = random.Random(seed)
    with Index.open(Path(folder), IDENTITY) as index:
        for number in range(seed * 1000, seed * 1000 + 1000):
            path = choose.choice(PATHS)
            action = choose.choice(["write", "write", "write", "remove", "flush"])
            print("begin", action, path, number, flush=True)
            if action == "write":
                index.write(version(path, number))
            elif action == "remove":
                index.remove_source("default", path)
            else:
                index.flush()
            print("end", action, path, number, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
