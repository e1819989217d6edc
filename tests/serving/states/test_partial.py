"""A partial file is its writer's until the writer is gone."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from serving.states.partial import partial_file, remove_abandoned


def test_it_is_gone_in_the_end_unless_it_was_renamed(tmp_path: Path) -> None:
    with partial_file(tmp_path) as file:
        assert Path(file.name).exists()
    assert list(tmp_path.glob("*.partial")) == []
    with partial_file(tmp_path) as file:
        Path(file.name).rename(tmp_path / "whole")
    assert (tmp_path / "whole").exists()


def test_it_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), partial_file(tmp_path):
        raise OSError("full")
    assert list(tmp_path.glob("*.partial")) == []


def test_only_what_nobody_writes_is_removed(tmp_path: Path) -> None:
    (tmp_path / "0123.partial").write_text("left by a process that was killed")
    with partial_file(tmp_path) as file:
        remove_abandoned(tmp_path)
        assert list(tmp_path.glob("*.partial")) == [Path(file.name)]


def test_a_file_that_was_taken_for_abandoned_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, too_late = fcntl.flock, []

    def lock_late(file, operation):
        if not too_late:
            too_late.append(Path(file.name))
            remove_abandoned(tmp_path)
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with partial_file(tmp_path) as file:
        assert not too_late[0].exists()
        assert Path(file.name).exists()
