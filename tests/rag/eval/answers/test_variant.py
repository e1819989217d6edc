"""The ways of answering that a person names."""

import pytest

from rag.config import load_settings
from rag.errors import ConfigError, RagError
from rag.eval.answers.variant import parse_variants, sharing


def test_nothing_named_is_what_is_set():
    (variant,) = parse_variants("", load_settings(top_k=2))
    assert (variant.name, variant.settings.top_k, variant.loads) == ("as set", 2, ())


def test_each_variant_is_a_few_settings_set_otherwise():
    full, repaired, both = parse_variants("full, repair 16, top_k=5+compress 0.5", load_settings(top_k=2))
    assert full.settings.states_obstacle
    assert (repaired.settings.repair_tokens, repaired.settings.top_k) == (16, 2)
    assert (both.settings.top_k, both.settings.compress, both.settings.states) == (5, 0.5, "first-use")


def test_what_is_measured_for_a_collection_still_holds():
    (variant,) = parse_variants("repair 0", load_settings())
    assert "min_relevance" not in variant.settings.model_fields_set


def test_variants_that_need_no_model_of_their_own_share_one():
    groups = sharing(parse_variants("repair 0,format bf16,full,format bf16+full", load_settings()))
    assert [[one.name for one in group] for group in groups] == [
        ["repair 0", "full"],
        ["format bf16", "format bf16+full"],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("repair", "the variant 'repair' says no value; write it like `repair 16`"),
        ("full,,repair 0", "there is nothing between two commas"),
        ("full,full", "'full' is there twice"),
    ],
)
def test_a_variant_that_says_nothing_is_refused(text, message):
    with pytest.raises(RagError, match=message):
        parse_variants(text, load_settings())


@pytest.mark.parametrize(
    ("text", "message"), [("colour blue", "no setting 'colour'"), ("format int3", "setting weight_format")]
)
def test_a_setting_that_does_not_exist_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_variants(text, load_settings())
