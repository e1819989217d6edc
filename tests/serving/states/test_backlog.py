"""What waits for the disk is found meanwhile, and is no more than there is room for."""

from __future__ import annotations

from serving.states.backlog import Backlog
from serving.states.types import Owner
from tests.serving.states.samples import key_of, states_of


def test_it_takes_no_more_than_it_has_room_for_until_something_was_written() -> None:
    backlog = Backlog(250)
    assert [backlog.put(key_of(number), states_of(key_of(number), 100)) for number in range(3)] == [True, True, False]
    backlog.remove(backlog.first())
    assert backlog.get(key_of(0)) is None
    assert backlog.put(key_of(2), states_of(key_of(2), 150))
    assert backlog.first().key == key_of(1)


def test_what_waits_already_takes_no_more_room() -> None:
    backlog = Backlog(100)
    assert all(backlog.put(key_of(1), states_of(key_of(1), 100)) for _ in range(3))


def test_what_was_deleted_while_it_was_written_is_told_from_what_was_put_again() -> None:
    backlog, states = Backlog(200), states_of(key_of(1), 100)
    backlog.put(key_of(1), states)
    written = backlog.first()
    backlog.delete(key_of(1).owner)
    backlog.put(key_of(1), states)
    assert not backlog.holds(written)
    backlog.remove(written)
    assert backlog.get(key_of(1)) is states


def test_a_deletion_leaves_others() -> None:
    backlog, other = Backlog(1000), Owner("other", "1")
    for key in (key_of(1), key_of(2, other), key_of(3)):
        backlog.put(key, states_of(key, 100))
    backlog.delete(key_of(1).owner)
    assert backlog.owners() == {other}
    assert backlog.first().key == key_of(2, other)
