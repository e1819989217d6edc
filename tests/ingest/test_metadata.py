import pytest

from ingest.errors import IngestSettingsError
from ingest.metadata import MAX_PAIRS, merged, parse


def test_pairs_are_read_and_put_beside_what_is_there():
    given = parse(["project = apollo", "formula=a=b", "old="])
    assert given == (("project", "apollo"), ("formula", "a=b"), ("old", ""))
    assert merged((("old", "1"), ("year", "2024")), given) == (
        ("formula", "a=b"),
        ("project", "apollo"),
        ("year", "2024"),
    )


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["apollo"], "metadata is written name=value, such as project=apollo, not 'apollo'"),
        (["=apollo"], "'' is no name for metadata: use at most 64 printable characters"),
        (["x" * 65 + "=1"], "is no name for metadata"),
        (["a\nb=1"], "is no name for metadata"),
        (["a=" + "x" * 1001], "the value of 'a' is not usable: it is one line of at most 1000 printable characters"),
        (["a=b\nc"], "the value of 'a' is not usable"),
        ([f"{number}=1" for number in range(MAX_PAIRS + 1)], "at most 50 names of metadata are taken, not 51"),
    ],
)
def test_what_is_no_metadata_is_refused(pairs, message):
    with pytest.raises(IngestSettingsError, match=message):
        parse(pairs)
