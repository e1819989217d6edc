"""Settings: which source wins, and what a wrong value says."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.config import explain, load_settings, write_setting
from rag.errors import ConfigError


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
    for name, value in (("top_k", "many"), ("no_such", "1"), ("home", "/")):
        with pytest.raises(ConfigError):
            write_setting(tmp_path, name, value)
    assert (tmp_path / "config.toml").read_text() == "top_k = 5\n"


def test_every_setting_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_setting(tmp_path, "top_k", "5")
    monkeypatch.setenv("RAG_PORT", "9000")
    sources = {row.name: row.source for row in explain(load_settings(tmp_path))}
    assert (sources["top_k"], sources["port"], sources["model"]) == ("config.toml", "RAG_PORT", "default")
