"""Writes, reads and deletes states until it is killed; says on stdout when it begins.

Run as a program: `python kill_worker.py FOLDER SEED`.
"""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from serving.states.store import StateStore
from serving.states.types import Owner
from tests.serving.states.samples import is_right, key_of, states_of

OWNERS = [Owner(collection, document) for collection in ("default", "文" * 100) for document in ("0a", "0b")]
SIZE = 200_000
DISK_BYTES = 20 * SIZE  # less than there are states, so that files go for others too


def keys():
    return [key_of(number, owner) for owner in OWNERS for number in range(10)]


def open_store(folder):
    return StateStore(Path(folder), memory_bytes=4 * SIZE, disk_bytes=DISK_BYTES)


def main(folder, seed):
    choose = random.Random(seed)
    store = open_store(folder)
    print("begun", flush=True)
    while True:
        key = choose.choice(keys())
        step = choose.randrange(20)
        if step == 0:
            store.delete(key.owner)
        elif step < 5:
            states = store.get(key)
            if states is not None and not is_right(key, states):
                print("wrong", key, flush=True)
        else:
            store.put(key, states_of(key, SIZE))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
