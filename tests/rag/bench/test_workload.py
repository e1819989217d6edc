"""Requests that come together: the mix of their prompts, and what is read from how they were served."""

import pytest

from rag.bench.workload import Served, Workload, percentile, token_ids


def test_every_number_at_once_has_the_same_mix_of_prompts():
    for at_once in (1, 4, 8, 16):
        workload = Workload.mixed(at_once, 64, 5, 1000)
        lengths = [len(prompt) for prompt in workload.prompts]
        assert len(lengths) >= at_once
        assert sorted(lengths) == sorted([8, 64, 16, 32] * (len(lengths) // 4))
        assert workload.num_tokens == sum(lengths) + 5 * len(lengths)


def test_no_prompt_begins_as_another_does():
    prompts = Workload.mixed(16, 64, 5, 49152).prompts
    assert len({prompt[0] for prompt in prompts}) == len(prompts)
    assert token_ids(3, 49152, 0)[0] != token_ids(3, 49152, 1)[0]


def test_waits_are_read_from_the_times_of_each_request():
    served = Served.of(9.0, [[0.0, 2.0, 3.0, 5.0], [1.0, 2.0, 2.5]])
    assert served == Served(9.0, (2.0, 1.0), (1.0, 2.0, 0.5))


def test_percentiles():
    assert percentile([float(value) for value in range(101)], 95) == pytest.approx(95)
    assert percentile([3.0], 95) == 3.0
