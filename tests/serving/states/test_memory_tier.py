"""The memory tier keeps what was used last, and never more than its budget."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from serving.states.memory import MemoryTier
from serving.states.types import Owner
from tests.serving.states.samples import key_of, states_of

BUDGET = 100
OWNERS = [Owner("a", "1"), Owner("a", "2"), Owner("b", "1")]
KEYS = st.builds(key_of, st.integers(0, 3), st.sampled_from(OWNERS))


class Tier(RuleBasedStateMachine):
    """The model is a list of keys and states, least recently used first."""

    def __init__(self):
        super().__init__()
        self.tier = MemoryTier(BUDGET)
        self.kept = []
        self.evictions = 0

    def take(self, key):
        found = [states for other, states in self.kept if other == key]
        self.kept = [entry for entry in self.kept if entry[0] != key]
        return found[0] if found else None

    @rule(key=KEYS, size=st.integers(0, BUDGET + 5))
    def put(self, key, size):
        states = states_of(key, size)
        self.tier.put(key, states)
        self.take(key)
        if size > BUDGET:
            return
        while sum(states.data.size for _, states in self.kept) + size > BUDGET:
            self.kept.pop(0)
            self.evictions += 1
        self.kept.append((key, states))

    @rule(key=KEYS)
    def get(self, key):
        states = self.take(key)
        assert self.tier.get(key) is states
        if states is not None:
            self.kept.append((key, states))

    @rule(owner=st.sampled_from(OWNERS))
    def delete(self, owner):
        self.tier.delete(owner)
        self.kept = [entry for entry in self.kept if entry[0].owner != owner]

    @invariant()
    def agrees(self):
        assert len(self.tier) == len(self.kept)
        assert all(key in self.tier for key, _ in self.kept)
        assert self.tier.owners() == {key.owner for key, _ in self.kept}
        assert self.tier.num_bytes == sum(states.data.size for _, states in self.kept) <= BUDGET
        assert self.tier.evictions == self.evictions


TestTier = Tier.TestCase
TestTier.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_states_that_went_are_still_good_for_those_who_have_them() -> None:
    tier = MemoryTier(BUDGET)
    tier.put(key_of(1), states_of(key_of(1), 80))
    states = tier.get(key_of(1))
    tier.put(key_of(2), states_of(key_of(2), 80))
    assert key_of(1) not in tier
    assert states.data.tolist() == states_of(key_of(1), 80).data.tolist()
