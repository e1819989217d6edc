"""The promise of the store: a process killed at any moment leaves every document as it was before or after."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from indexes import Index
from tests.indexes.kill_worker import PATHS, version
from tests.indexes.records import IDENTITY, vector_of

ROUNDS = 16
WORKER = Path(__file__).with_name("kill_worker.py")


def run_until_killed(folder, seed, after_s):
    """Start the worker, kill it `after_s` after its first step, and give the lines it wrote."""
    worker = subprocess.Popen([sys.executable, str(WORKER), str(folder), str(seed)], stdout=subprocess.PIPE, text=True)
    first = worker.stdout.readline()
    time.sleep(after_s)
    worker.send_signal(signal.SIGKILL)
    rest = worker.stdout.read()  # not `communicate`, which passes over what `readline` has buffered
    worker.stdout.close()
    worker.wait(20)
    assert worker.returncode == -signal.SIGKILL, "the worker ended before it was killed"
    return [line.split() for line in (first + rest).splitlines() if line.count(" ") == 3]


def apply(state, action, path, number):
    if action == "write":
        return {**state, path: int(number)}
    return {other: version for other, version in state.items() if action != "remove" or other != path}


def legal_states(state, lines):
    """The state after what was done, and that after what was begun last."""
    for word, *step in lines:
        if word == "end":
            state = apply(state, *step)
    return [state, apply(state, *lines[-1][1:])]


def stored(index):
    return {document.path: document.id for document in index.documents()}


def check_contents(index, state):
    assert index.verify() == []
    expected = {chunk.text for path, number in state.items() for chunk in version(path, number).chunks}
    hits = index.search_dense("default", vector_of("anything"), 10_000)
    assert {hit.chunk.text for hit in hits} == expected
    assert {hit.chunk.text for hit in index.search_text("default", "chunk", 10_000)} == expected


def test_a_kill_at_any_moment_leaves_each_document_before_or_after(tmp_path):
    choose = random.Random(7)
    state = {}
    for seed in range(1, ROUNDS + 1):
        lines = run_until_killed(tmp_path, seed, choose.uniform(0.0, 0.4))
        with Index.open(tmp_path, IDENTITY) as index:
            found = stored(index)
            legal = [
                each
                for each in legal_states(state, lines)
                if found == {path: version(path, number).document.id for path, number in each.items()}
            ]
            assert legal, f"round {seed} left {found} after {lines[-3:]}"
            state = legal[0]
            check_contents(index, state)
        assert set(found) <= set(PATHS)


KILLED_AT_A_STEP = """
import pathlib, sys

from indexes import Index
from tests.indexes.kill_worker import version
from tests.indexes.records import IDENTITY
from tests.kill_at_step import KillAtStep

counted = KillAtStep(int(sys.argv[2])).counted
index = Index.open(pathlib.Path(sys.argv[1]), IDENTITY)
index.write(version("/docs/1.txt", 2))
for name in ("replace", "unlink", "write_text"):
    setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
index.close()
print("closed")
"""


@pytest.mark.parametrize("step", range(1, 5))
def test_a_kill_between_two_steps_of_saving_vectors_is_no_damage(tmp_path, step):
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(version("/docs/1.txt", 1))
    command = [sys.executable, "-c", KILLED_AT_A_STEP, str(tmp_path), str(step)]
    killed = subprocess.run(command, cwd=WORKER.parent.parent.parent, capture_output=True, text=True, check=False)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, ""), killed.stderr
    with Index.open(tmp_path, IDENTITY) as index:
        check_contents(index, {"/docs/1.txt": 2})
