"""`runtime.run` on a cross_modal_hasher artifact: indices, queries and contact sheets against what the task answers in Python."""

from __future__ import annotations

import importlib.util
import json
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import runtime
from runtime import corpus, index_names, sheets
from runtime.commands.hashing import Encoder
from runtime.pictures import read
from runtime.run import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def models(hashing: SimpleNamespace, tmp_path: Path) -> Path:
    """Two clouds and two images, one of each in a folder below, beside a file that is neither."""
    folder = tmp_path / "models"
    (folder / "below").mkdir(parents=True)
    for name, cloud in zip(("a.npy", "below/b.npy"), hashing.point_clouds(), strict=False):
        np.save(folder / name, cloud)
    for name, image in zip(("c.png", "below/d.png"), hashing.images(), strict=False):
        Image.fromarray(image).save(folder / name)
    (folder / "notes.txt").write_text("neither")
    return folder


ORDER = ("a.npy", "below/b.npy", "below/d.png", "c.png")


def lines(capsys: Captured) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_folder_becomes_an_index_of_its_images_and_clouds(hasher: Path, models: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "parts.hidx"
    assert main([str(hasher), "index", str(models), "-o", str(out), "--json"]) == 0
    assert lines(capsys) == [{"indexed": 4, "failed": 0, "bits": 16, "index": str(out)}]
    named, task = index_names.load(out), runtime.load(hasher)
    assert list(named.paths.values()) == [str(models / name) for name in ORDER] and named.maker == task.maker
    codes = np.concatenate([codes for _, codes in named.index.chunks()])
    for row, name in enumerate(ORDER):
        encode = task.encode_points if name.endswith("npy") else task.encode_images
        assert np.array_equal(codes[row], encode(models / name)[0])


@pytest.mark.parametrize("size", ["1", "3", "100"])
def test_lengths_and_batches_can_be_chosen(hasher: Path, models: Path, tmp_path: Path, size: str) -> None:
    pattern = str(models / "**" / "*.npy")
    options = ["--bits", "8", "--batch-size", size]
    assert main([str(hasher), "index", pattern, str(models / "a.npy"), "-o", str(tmp_path / "i"), *options]) == 0
    named = index_names.load(tmp_path / "i")
    assert named.index.bits == 8 and len(named.index) == 2  # a file that is named twice is there once


@pytest.fixture
def index(hasher: Path, models: Path, tmp_path: Path, capsys: Captured) -> Path:
    out = tmp_path / "parts.hidx"
    assert main([str(hasher), "index", str(models), "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"4 codes of 16 bits in {out}\n"
    return out


def test_a_query_finds_itself_and_what_is_near(hasher: Path, models: Path, index: Path, capsys: Captured) -> None:
    queries = [str(models / "c.png"), str(models / "below/b.npy")]
    assert main([str(hasher), "query", *queries, "--index", str(index), "-k", "3", "--json"]) == 0
    found = lines(capsys)
    assert [line["path"] for line in found] == queries
    named, task = index_names.load(index), runtime.load(hasher)
    hits = task.search(named.index, images=models / "c.png", k=3)
    assert found[0]["hits"] == [
        {"path": named.paths[code_id], "id": code_id, "distance": distance}
        for code_id, distance in zip(hits.ids[0].tolist(), hits.distances[0].tolist(), strict=True)
    ]
    assert [line["hits"][0]["path"] for line in found] == queries  # type: ignore[index]
    assert main([str(hasher), "query", queries[0], "--index", str(index), "-k", "9", "--rerank"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == queries[0] and len(said) == 5 and said[1].startswith("    0 bits  score ")


def test_bad_files_are_reported_and_the_others_indexed(hasher: Path, models: Path, tmp_path: Path, capsys: Captured) -> None:
    (models / "bad.npy").write_bytes(b"")
    np.save(models / "nan.npy", np.full((4, 3), np.nan))
    (models / "bad.png").write_text("no picture")
    out = tmp_path / "parts.hidx"
    assert main([str(hasher), "index", str(models), str(models / "none.ply"), "-o", str(out), "--json"]) == 1
    found = lines(capsys)
    assert [Path(str(line["path"])).name for line in found if "error" in line] == ["bad.npy", "bad.png", "nan.npy", "none.ply"]
    assert found[-1]["indexed"] == 4 and found[-1]["failed"] == 4 and len(index_names.load(out).paths) == 4
    assert main([str(hasher), "query", str(models), "--index", str(out)]) == 1
    said = capsys.readouterr()
    assert "bad.npy" in said.err and "bad.npy" not in said.out and str(models / "c.png") in said.out


def test_where_nothing_can_be_used_nothing_is_written(
    hasher: Path, models: Path, index: Path, tmp_path: Path, capsys: Captured
) -> None:
    for file in models.rglob("*.*"):
        file.write_bytes(b"")
    before = index.read_bytes()
    assert main([str(hasher), "index", str(models), "-o", str(index)]) == 2
    assert "none of the 4 files could be used" in capsys.readouterr().err and index.read_bytes() == before
    assert main([str(hasher), "query", str(models), "--index", str(index), "--sheet", str(tmp_path / "hits.png")]) == 2
    assert not (tmp_path / "hits.png").exists()


# shards


@pytest.mark.parametrize("shards", ["1", "2", "4"])
def test_shards_answer_as_one_index(
    hasher: Path, models: Path, index: Path, tmp_path: Path, capsys: Captured, shards: str
) -> None:
    (models / "bad.png").write_text("no picture")
    out = tmp_path / "parts"
    assert main([str(hasher), "index", str(models), "-o", str(out), "--shards", shards, "--json"]) == 1
    assert [line.get("indexed", Path(str(line.get("path"))).name) for line in lines(capsys)] == ["bad.png", 4]
    queries = [str(models / name) for name in ORDER]
    for options in ([], ["--rerank"]):
        answers = []
        for place in (index, out):
            assert main([str(hasher), "query", *queries, "--index", str(place), "-k", "3", "--json", *options]) == 0
            answers.append([[{**hit, "id": 0} for hit in line["hits"]] for line in lines(capsys)])  # type: ignore[attr-defined]
        assert answers[0] == answers[1]


def test_shards_go_on_where_they_stopped_and_refuse_other_files(
    hasher: Path, models: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, task = tmp_path / "parts", runtime.load(hasher)
    entered: list[int] = []

    def killed(*given: object) -> object:
        if entered:
            raise KeyboardInterrupt
        entered.append(1)
        return enter(*given)

    enter = corpus._enter
    monkeypatch.setattr(corpus, "_enter", killed)
    command = [str(hasher), "index", str(models), "-o", str(out), "--shards", "2", "--batch-size", "1"]
    with pytest.raises(KeyboardInterrupt):
        main(command)
    monkeypatch.setattr(corpus, "_enter", enter)
    assert len(corpus.read(out).shards) == 1
    assert main([str(hasher), "query", str(models / "c.png"), "--index", str(out)]) == 2
    assert "is not finished: 1 of 2 shards" in capsys.readouterr().err
    assert main(command) == 0
    found = corpus.read(out)
    assert found.finished and found.maker == task.maker and found.names([0, 1, 2, 3]) == [str(models / name) for name in ORDER]
    (models / "a.npy").unlink()
    assert main(command) == 2
    assert "was begun with items = 4, and 3 was given" in capsys.readouterr().err


def test_a_corpus_without_a_shard_is_said_to_be_unfinished(hasher: Path, models: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "parts"
    assert main([str(hasher), "index", str(models), "-o", str(out), "--shards", "2"]) == 0
    written = json.loads((out / corpus.MANIFEST).read_text())
    (out / corpus.MANIFEST).write_text(json.dumps({**written, "shards": []}))
    assert main([str(hasher), "query", str(models / "c.png"), "--index", str(out)]) == 2
    assert "is not finished: 0 of 2 shards" in capsys.readouterr().err


def test_where_no_file_of_a_corpus_can_be_used_it_is_said(hasher: Path, models: Path, tmp_path: Path, capsys: Captured) -> None:
    for file in models.rglob("*.*"):
        file.write_bytes(b"")
    assert main([str(hasher), "index", str(models), "-o", str(tmp_path / "parts"), "--shards", "2"]) == 2
    assert "none of the 4 files could be used" in capsys.readouterr().err
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(models / "c.png")
    assert main([str(hasher), "query", str(models / "c.png"), "--index", str(tmp_path / "parts")]) == 2
    assert "holds no code to be found" in capsys.readouterr().err


def test_an_encoder_travels_to_another_process(hasher: Path, models: Path) -> None:
    task = runtime.load(hasher)
    given = [str(models / name) for name in ORDER]
    expected = Encoder(task, 8)(given)
    assert np.array_equal(pickle.loads(pickle.dumps(Encoder(task, 8)))(given), expected)
    with pytest.raises(ValueError, match=r"none\.ply"):
        Encoder(task, 8)([*given, str(models / "none.ply")])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'contrastrt[ray]'")
def test_ray_writes_the_same_codes(hasher: Path, models: Path, tmp_path: Path) -> None:
    script = "import sys; from runtime.run import main; sys.exit(main(sys.argv[1:]))"
    for name, options in (("here", []), ("ray", ["--ray"])):
        command = [str(hasher), "index", str(models), "-o", str(tmp_path / name), "--shards", "2", *options]
        done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for file in (tmp_path / "here").iterdir():
        assert file.read_bytes() == (tmp_path / "ray" / file.name).read_bytes(), file.name


# contact sheets


def tile(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    top = sheets.GAP + row * (sheets.SIDE + sheets.CAPTION + sheets.GAP)
    left = sheets.GAP + column * (sheets.SIDE + sheets.GAP) + (sheets.GAP if column else 0)
    return picture[top : top + sheets.SIDE, left : left + sheets.SIDE]


def test_a_sheet_shows_queries_beside_their_hits(hasher: Path, models: Path, index: Path, tmp_path: Path) -> None:
    target = tmp_path / "hits.png"
    queries = [str(models / "c.png"), str(models / "a.npy")]
    assert main([str(hasher), "query", *queries, "--index", str(index), "-k", "2", "--sheet", str(target)]) == 0
    picture = read(target).joined()
    assert np.array_equal(tile(picture, 0, 0), tile(picture, 0, 1)) and np.array_equal(tile(picture, 1, 0), tile(picture, 1, 1))
    assert not np.array_equal(tile(picture, 0, 0), tile(picture, 0, 2))
    assert all((tile(picture, row, column) < 200).any() for row in (0, 1) for column in (0, 1, 2))


def test_a_hit_that_is_gone_is_said_to_be(hasher: Path, models: Path, index: Path, tmp_path: Path) -> None:
    query = (models / "c.png").rename(tmp_path / "query.png")
    assert main([str(hasher), "query", str(query), "--index", str(index), "-k", "1", "--sheet", str(tmp_path / "hits.png")]) == 0
    gone = tile(read(tmp_path / "hits.png").joined(), 0, 1)
    assert (gone[0] < 200).all() and (gone[5:60, 5:-5] == 255).all() and (gone[70:90] < 200).any()


def test_paths_are_looked_for_beside_the_index_too(
    hasher: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(hasher), "index", "models", "-o", "parts.hidx"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    options = ["--index", "../parts.hidx", "-k", "1", "--sheet", "hits.png", "--json"]
    assert main([str(hasher), "query", "../models/c.png", *options]) == 0
    assert lines(capsys)[0]["hits"][0]["path"] == "models/c.png"  # type: ignore[index]
    picture = read(Path("hits.png")).joined()
    assert np.array_equal(tile(picture, 0, 0), tile(picture, 0, 1))


# wrong use


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["{models}"], "of this artifact ask `index FILES"),
        (["index"], "nothing after it"),
        (["index", "{models}"], "give -o parts.hidx"),
        (["query", "{models}"], "give --index parts.hidx"),
        (["index", "{models}", "-o", "new", "--rerank"], "--rerank does not go with `index`"),
        (["index", "{models}", "-o", "new", "-k", "5"], "-k does not go with `index`"),
        (["query", "{models}", "--index", "{index}", "-o", "new"], "--out does not go with `query`"),
        (["query", "{models}", "--index", "{index}", "--bits", "8"], "--bits does not go with `query`"),
        (["query", "{models}", "--index", "{index}", "-k", "0"], "-k 0 was given"),
        (["query", "{models}", "--index", "{models}/notes.txt"], "is not a Hamming index"),
        (["query", "{models}", "--index", "{index}", "--sheet", "hits.gif"], "suffix '.gif'"),
        (["query", "{models}", "--index", "{index}", "--sheet", "no/hits.png"], "no folder"),
        (["query", "{models}", "--index", "{index}", "--sheet", "{models}/c.png"], "is one of the inputs"),
        (["index", "{models}", "-o", "{models}/a.npy"], "is one of the inputs"),
        (["index", "{models}", "-o", "{models}"], "is a folder"),
        (["index", "{models}", "-o", "no/new"], "no folder"),
        (["index", "{models}", "-o", "new", "--bits", "24"], "bits=24"),
        (["index", "{models}", "-o", "new", "--ray"], "give --shards too"),
        (["index", "{models}", "-o", "new", "--shards", "5"], "expected 1 to 4, the number of files"),
        (["index", "{models}", "-o", "{models}", "--shards", "2"], "is there and no corpus"),
        (["query", "{models}", "--index", "{models}"], "is no corpus"),
        (["query", "{models}", "--index", "{index}", "--shards", "2"], "--shards does not go with `query`"),
        (["index", "{models}", "-o", "new", "--batch-size", "0"], "--batch-size 0"),
        (["index", "{models}", "-o", "new", "--top-k", "2"], "--top-k is for a zero_shot, "),
    ],
)
def test_wrong_use_ends_with_2_and_writes_nothing(
    hasher: Path,
    models: Path,
    index: Path,
    arguments: list[str],
    word: str,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    given = [argument.format(models=models, index=index) for argument in arguments]
    assert main([str(hasher), *given]) == 2
    assert word in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_index_of_another_artifact_is_refused(
    hasher: Path, hashing: SimpleNamespace, models: Path, index: Path, tmp_path: Path, capsys: Captured
) -> None:
    hashing.build(tmp_path / "other", graphs=hashing.GRAPHS[1:])
    assert main([str(tmp_path / "other"), "query", str(models / "a.npy"), "--index", str(index)]) == 2
    assert "was made by another artifact" in capsys.readouterr().err


def test_the_shared_options_are_refused_where_they_mean_nothing(artifact: Path, resolver: Path, capsys: Captured) -> None:
    assert main([str(artifact), "photo.png", "-o", "x"]) == 2
    assert "--out is for a super_resolver, " in capsys.readouterr().err
    assert main([str(resolver), "photo.png", "-o", "x", "--batch-size", "2"]) == 2
    assert "--batch-size is for a zero_shot, a cross_modal_hasher, " in capsys.readouterr().err
