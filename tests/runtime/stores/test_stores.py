"""The command line: what it writes is found by the stores, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime import index_names
from runtime.corpus import encode_corpus
from runtime.index import HammingIndex
from runtime.index_names import NamedIndex
from runtime.stores import faiss_shards, lance
from runtime.stores.__main__ import main

Filled = Callable[..., HammingIndex]
QUERY = np.zeros((2, 2), np.uint8)


@pytest.fixture
def saved(filled: Filled, tmp_path: Path) -> Path:
    filled(60).save(tmp_path / "parts.hidx")
    return tmp_path / "parts.hidx"


def test_shards_are_written_and_verified(saved: Path, filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["faiss", str(saved), str(tmp_path / "shards"), "--shard-size", "25"]
    assert main([*command, "--verify", "20"]) == 0
    assert capsys.readouterr().out == (
        "60 codes of 16 bits written to faiss\n20 of them searched there: 0 answers differ from the exact search's\n"
    )
    np.testing.assert_array_equal(faiss_shards.search(tmp_path / "shards", QUERY, 9).ids, filled(60).search(QUERY, 9).ids)
    assert main(command) == 2
    assert "replace them with replace=True (--replace)" in capsys.readouterr().err
    assert main([*command, "--replace", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"store": "faiss", "codes": 60, "bits": 16}


def test_a_corpus_and_names_go_to_lance(filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lancedb = pytest.importorskip("lancedb", reason="LanceDB is not installed: pip install lancedb")
    items = [str(place) for place in range(30)]
    made = encode_corpus(
        items,
        lambda part: np.array([[int(item), 0] for item in part], np.uint8),
        tmp_path / "corpus",
        bits=16,
        maker="m",
        shard_size=7,
    )
    command = ["lance", str(tmp_path / "corpus"), str(tmp_path / "lance"), "--table", "parts", "--verify", "30", "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"store": "lance", "codes": 30, "bits": 16, "verified": 30, "differing": 0}
    np.testing.assert_array_equal(lance.search(tmp_path / "lance", "parts", QUERY, 9).ids, made.search(QUERY, 9).ids)
    assert lancedb.connect(tmp_path / "lance").open_table("parts").to_arrow()["name"].to_pylist() == items

    index = HammingIndex(16)
    index.add(np.full((1, 2), 7, np.uint8), [1000])
    index_names.save(tmp_path / "more.hidx", NamedIndex(index, {1000: "more.ply"}, "m"))
    assert main(["lance", str(tmp_path / "more.hidx"), str(tmp_path / "lance"), "--table", "parts", "--update"]) == 0
    read = lancedb.connect(tmp_path / "lance").open_table("parts").to_arrow()
    assert sorted(read["name"].to_pylist()) == sorted([*items, "more.ply"])


@pytest.mark.slow
def test_postgres_is_written_and_answers_that_differ_are_told(
    postgres: str, saved: Path, filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["postgres", str(saved), postgres, "--table", "told", "--verify", "60", "--json"]
    assert main([*command, "--replace"]) == 0
    assert json.loads(capsys.readouterr().out)["differing"] == 0
    less = filled(60)
    less.remove([int(next(iter(less))[0][0])])
    less.save(tmp_path / "less.hidx")
    command[1] = str(tmp_path / "less.hidx")
    assert main([*command, "--update"]) == 1  # the table still holds the code that the index has no more
    assert json.loads(capsys.readouterr().out)["differing"] > 0


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["faiss", "none.hidx", "shards"], "there is no index none.hidx"),
        (["faiss", ".", "shards"], "is no corpus"),
        (["faiss", "parts.hidx", "shards", "--verify", "0"], "--verify 0 was given; expected 1 or more"),
        (["lance", "parts.hidx", "lance", "--table", "t", "--replace", "--update"], "replace and update were both given"),
        (["lance", "parts.hidx", "s3://b", "--table", "t", "--storage-option", "x"], "expected NAME=VALUE"),
        (["postgres", "parts.hidx", "host=127.0.0.1 port=1 connect_timeout=1", "--table", "t"], "PostgreSQL: connection"),
        (["postgres", "parts.hidx", "nonsense", "--table", "t"], "PostgreSQL: "),
    ],
)
def test_mistakes_are_told_in_one_line_with_status_2(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str], sentence: str
) -> None:
    for module in {"lance": ["lancedb"], "postgres": ["psycopg"]}.get(command[0], []):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install {module}")
    monkeypatch.chdir(saved.parent)
    assert main(command) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.startswith("runtime.stores: ")
    assert captured.out == ""
    assert {path.name for path in saved.parent.iterdir()} <= {"parts.hidx", "lance"}


@pytest.mark.parametrize(
    ("module", "extra", "command"),
    [
        ("lancedb", "lance", ["lance", "parts.hidx", "l", "--table", "t"]),
        ("psycopg", "postgres", ["postgres", "parts.hidx", "c", "--table", "t"]),
    ],
)
def test_a_store_that_is_not_installed_is_told_how_to_install(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, extra: str, command: list[str]
) -> None:
    monkeypatch.chdir(saved.parent)
    monkeypatch.setitem(__import__("sys").modules, module, None)
    assert main(command) == 2
    assert f"pip install 'contrastrt[{extra}]'" in capsys.readouterr().err
