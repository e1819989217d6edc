"""Processes that share a folder, that are killed while they write, and that fork."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.serving.states.kill_worker import DISK_BYTES, SIZE, keys, open_store
from tests.serving.states.samples import OWNER, files_in, is_right, key_of, states_of

ROUNDS = 8
WORKER = Path(__file__).with_name("kill_worker.py")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "states"


def start_worker(folder: Path, seed: int) -> subprocess.Popen:
    worker = subprocess.Popen([sys.executable, str(WORKER), str(folder), str(seed)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "begun\n"
    return worker


def kill(worker: subprocess.Popen) -> None:
    worker.send_signal(signal.SIGKILL)
    assert worker.stdout.read() == "", "it read what was never put"
    worker.stdout.close()
    assert worker.wait(20) == -signal.SIGKILL


def check(folder: Path) -> int:
    """Opens the store after kills and makes sure of all that it has; how many states these are."""
    store = open_store(folder)
    assert files_in(folder / "tmp") == []
    assert store.verify() == []
    num_files = len(files_in(folder))
    found = store.find(keys())
    assert all(is_right(key, states) for key, states in zip(keys(), found, strict=True) if states is not None)
    num_found = sum(states is not None for states in found)
    stats = store.stats()
    assert num_found == stats.disk_entries == num_files
    assert stats.damaged == 0
    store.close()
    return num_found


def test_a_kill_at_any_moment_leaves_nothing_wrong_and_nothing_behind(folder: Path) -> None:
    choose = random.Random(3)
    num_found = 0
    for seed in range(ROUNDS):
        worker = start_worker(folder, seed)
        time.sleep(choose.uniform(0.0, 0.3))
        kill(worker)
        num_found += check(folder)
    assert num_found > 0


def test_processes_that_share_a_folder_do_not_harm_each_other(folder: Path) -> None:
    workers = [start_worker(folder, seed) for seed in range(3)]
    store = open_store(folder)
    choose = random.Random(5)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        key = choose.choice(keys())
        states = store.get(key)
        if states is None:
            store.put(key, states_of(key, SIZE))
        else:
            assert is_right(key, states)
    assert store.stats().damaged == 0
    for worker in workers[1:]:
        kill(worker)
    store.flush()
    assert open_store(folder).verify() == []
    kill(workers[0])
    store.close()
    assert check(folder) > 0
    assert sum(path.stat().st_size for path in files_in(folder)) < 1.5 * DISK_BYTES


def run(script: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


KILLED_AT_A_STEP = """
import os, pathlib, sys
from tests.kill_at_step import KillAtStep
from tests.serving.states.kill_worker import open_store
from tests.serving.states.samples import key_of, states_of

counted = KillAtStep(int(sys.argv[2])).counted

store = open_store(sys.argv[1])
store.get(key_of(1))
store.flush()
os.fsync = counted(os.fsync)
for name in ("replace", "mkdir", "unlink"):
    setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
store.put(key_of(1), states_of(key_of(1)))
store.close()
print("closed")
"""


def test_a_kill_between_any_two_steps_of_writing_leaves_all_or_nothing(folder: Path) -> None:
    placed = []
    while (result := run(KILLED_AT_A_STEP, folder, len(placed) + 1)).stdout != "closed\n":
        assert result.returncode == -signal.SIGKILL, result.stderr
        store = open_store(folder)
        assert files_in(folder / "tmp") == []
        assert store.verify() == []
        placed.append(is_right(key_of(1), store.get(key_of(1))))
        store.delete(OWNER)
        assert [path.name for path in folder.iterdir()] == ["tmp"]
        store.close()
    assert placed == sorted(placed)
    assert set(placed) == {False, True}


def test_what_a_living_process_is_writing_is_not_taken_for_abandoned(folder: Path) -> None:
    store = open_store(folder)
    store.put(key_of(1), states_of(key_of(1)))
    store.flush()
    opener = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import time\nfrom {__package__}.kill_worker import open_store\nwhile True: open_store({str(folder)!r})",
        ],
        cwd=ROOT,
    )
    try:
        for number in range(150):
            store.put(key_of(number), states_of(key_of(number)))
        store.flush()
    finally:
        opener.kill()
        opener.wait(20)
    assert all(store.has(key_of(number)) for number in range(150))
    assert store.stats().unwritten == 0


FORKS = """
import os, sys, threading
from tests.serving.states.kill_worker import open_store
from tests.serving.states.samples import OWNER, is_right, key_of, states_of

store = open_store(sys.argv[1])
states = {key_of(number): states_of(key_of(number), 50_000) for number in range(16)}
ours, others = list(states)[:10], list(states)[10:]
stop = threading.Event()

def use():
    while not stop.is_set():
        for key in ours:
            store.put(key, states[key])
            store.find(ours)
            store.delete(OWNER)

threads = [threading.Thread(target=use) for _ in range(3)]
for thread in threads:
    thread.start()
for key in others:
    child = os.fork()
    if child == 0:
        store.put(key, states[key])
        right = is_right(key, store.get(key)) and store.has(key) and OWNER in store.owners()
        store.flush()
        store.delete(OWNER)
        sys.exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
print("ended")
"""


def test_a_forked_process_has_a_store_that_works(folder: Path) -> None:
    result = run(FORKS, folder)
    assert (result.returncode, result.stdout) == (0, "ended\n"), result.stderr


LEAVES = """
import sys
from tests.serving.states.kill_worker import open_store
from tests.serving.states.samples import key_of, states_of

store = open_store(sys.argv[1])
for number in range(10):
    store.put(key_of(number), states_of(key_of(number)))
"""


def test_a_process_that_ends_without_closing_has_written_everything(folder: Path) -> None:
    result = run(LEAVES, folder)
    assert (result.returncode, result.stderr) == (0, "")
    store = open_store(folder)
    assert all(is_right(key_of(number), store.get(key_of(number))) for number in range(10))
