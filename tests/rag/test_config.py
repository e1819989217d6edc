"""Settings: which source wins, and what a wrong value says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rag.choices import ReuseChoice, write_reuse
from rag.config import load_settings
from rag.errors import ConfigError
from rag.setting import explain, unset_setting, write_setting
from serving.runtime import Reuse


@dataclass(frozen=True)
class Named:
    name: str
    default_reuse: Reuse = field(default_factory=Reuse)


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings(tmp_path).top_k == 3
    write_setting(tmp_path, "top_k", "5")
    assert load_settings(tmp_path).top_k == 5
    monkeypatch.setenv("RAG_TOP_K", "6")
    assert load_settings(tmp_path).top_k == 6
    assert load_settings(tmp_path, top_k=7).top_k == 7


def test_the_home_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_HOME", str(tmp_path / "elsewhere"))
    assert load_settings().home == tmp_path / "elsewhere"
    assert load_settings(tmp_path / "flag").home == tmp_path / "flag"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"top_k": 0}, "setting top_k"),
        ({"temperature": -1}, "setting temperature"),
        ({"weight_format": "int3"}, "setting weight_format"),
        ({"chunk_tokens": 32, "chunk_overlap": 32}, "must be smaller"),
        ({"states": "now and then"}, "setting states"),
        ({"states": "at-ingest", "states_disk_mb": 0}, "set states_disk_mb above 0"),
        ({"states": "at-ingest", "naive": True}, "naive keeps nothing"),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, flags: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_settings(tmp_path, **flags)


def test_a_bad_environment_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_PORT", "ninety")
    with pytest.raises(ConfigError, match="port"):
        load_settings(tmp_path)


def test_an_unknown_name_in_the_file_is_named_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("topk = 3\n")
    with pytest.raises(ConfigError, match=r"topk.*config\.toml"):
        load_settings(tmp_path)


def test_host_names_are_given_with_commas_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ALLOWED_HOSTS", "example.com, rag.local")
    assert load_settings(tmp_path).allowed_hosts == ("example.com", "rag.local")
    monkeypatch.delenv("RAG_ALLOWED_HOSTS")
    write_setting(tmp_path, "allowed_hosts", "example.com")
    assert load_settings(tmp_path).allowed_hosts == ("example.com",)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/home/config\.toml: cannot be written"):
        write_setting(tmp_path / "file" / "home", "top_k", "5")


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("top_k : 3")
    with pytest.raises(ConfigError, match=r"config\.toml: not readable"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [("model", 'C:\\models\\"x"', 'C:\\models\\"x"'), ("temperature", "0.5", 0.5), ("num_threads", "2", 2)],
)
def test_what_is_set_is_read_back(tmp_path: Path, name: str, value: str, read: object) -> None:
    write_setting(tmp_path, name, value)
    assert getattr(load_settings(tmp_path), name) == read


def test_setting_a_bad_value_leaves_the_file_alone(tmp_path: Path) -> None:
    write_setting(tmp_path, "top_k", "5")
    for name, value in (("top_k", "many"), ("no_such", "1"), ("home", "/"), ("reuse", "{}")):
        with pytest.raises(ConfigError):
            write_setting(tmp_path, name, value)
    assert (tmp_path / "config.toml").read_text() == "top_k = 5\n"


def test_every_setting_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_setting(tmp_path, "top_k", "5")
    monkeypatch.setenv("RAG_PORT", "9000")
    sources = {row.name: row.source for row in explain(load_settings(tmp_path))}
    assert (sources["top_k"], sources["port"], sources["model"]) == ("config.toml", "RAG_PORT", "default")


def test_a_value_that_is_unset_is_the_default_again(tmp_path: Path) -> None:
    write_setting(tmp_path, "top_k", "5")
    write_setting(tmp_path, "repair_tokens", "0")
    unset_setting(tmp_path, "repair_tokens")
    unset_setting(tmp_path, "port")
    assert load_settings(tmp_path).repair_tokens is None
    assert (tmp_path / "config.toml").read_text() == "top_k = 5\n"
    with pytest.raises(ConfigError, match="no setting 'no_such'"):
        unset_setting(tmp_path, "no_such")


def test_reuse_is_as_set_or_as_measured_for_the_model_or_careful(tmp_path: Path) -> None:
    write_setting(tmp_path, "top_k", "5")
    write_reuse(tmp_path, "a/b 0.5B", ReuseChoice(4, 0.15, measured_at="2025-11-21", figures={"top-1": 0.97}))
    write_reuse(tmp_path, "poor", ReuseChoice(64, states=False))
    settings = load_settings(tmp_path)
    assert settings.top_k == 5
    measured, poor = Named("a/b 0.5B"), Named("poor")
    assert settings.reuse_for(measured) == Reuse(4, 0.15)
    assert settings.reuse_for(Named("unmeasured")) == Reuse()
    assert settings.reuse_for(poor) is None
    assert load_settings(tmp_path, repair_tokens=0).reuse_for(measured) == Reuse(0, 0.15)
    assert load_settings(tmp_path, repair_share=0.0).reuse_for(poor) == Reuse(64, 0.0)
    assert load_settings(tmp_path, states="off").reuse_for(measured) is None


def test_what_a_model_was_made_for_holds_until_it_is_measured_or_set(tmp_path: Path) -> None:
    made_for_it = Named("reader", Reuse(0))
    assert load_settings(tmp_path).reuse_for(made_for_it) == Reuse(0)
    assert load_settings(tmp_path, repair_tokens=8).reuse_for(made_for_it) == Reuse(8)
    write_reuse(tmp_path, "reader", ReuseChoice(4))
    assert load_settings(tmp_path).reuse_for(made_for_it) == Reuse(4)


def test_what_is_chosen_for_a_model_replaces_what_was_and_setting_a_value_leaves_it(tmp_path: Path) -> None:
    write_reuse(tmp_path, "one", ReuseChoice(4))
    write_reuse(tmp_path, "two", ReuseChoice(8))
    write_reuse(tmp_path, "one", ReuseChoice(16))
    write_setting(tmp_path, "top_k", "5")
    assert load_settings(tmp_path).reuse == {"one": ReuseChoice(16), "two": ReuseChoice(8)}


def test_choices_are_shown_a_line_for_each_model(tmp_path: Path) -> None:
    write_reuse(tmp_path, "one", ReuseChoice(4, 0.15, measured_at="2025-11-21", figures={"F1": 0.5}))
    write_reuse(tmp_path, "two", ReuseChoice(0, states=False))
    shown = {row.name: row.cells[1:3] for row in explain(load_settings(tmp_path)) if row.name.startswith("reuse")}
    said = "first 4 tokens and 15% of the others repaired, measured 2025-11-21 (F1 0.5)"
    assert shown == {
        "reuse.one": (said, "config.toml"),
        "reuse.two": ("states are not reused", "config.toml"),
    }


@pytest.mark.parametrize("line", ["repair_tokens = -1", "repair_tokens = 4\nrepair_shares = 1", "repair_share = 0.5"])
def test_a_bad_choice_is_named_with_its_model_and_the_file(tmp_path: Path, line: str) -> None:
    (tmp_path / "config.toml").write_text(f'[reuse."one"]\n{line}\n')
    with pytest.raises(ConfigError, match=r"reuse\.one\.repair_\w+ .*config\.toml"):
        load_settings(tmp_path)
