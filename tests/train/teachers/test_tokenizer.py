"""Token numbers against transformers' CLIPTokenizer over the same merges, and a tokenizer trained here against the text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from train.teachers.tokenizer import END, START, Tokenizer, beside, find, from_merges

MERGES = [
    ("p", "h"), ("o", "t"), ("ph", "ot"), ("phot", "o</w>"),
    ("o", "f</w>"), ("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>"),
    ("'", "s</w>"), ("Ã", "©</w>"), ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o</w>"),
]  # fmt: skip
AWKWARD = [
    "a photo of a cat",
    "A  PHOTO\tof\n a DOG",
    "",
    "   ",
    "the cat's don't we'll I'd they've",
    "Café crème brûlée, naïve e\u0301clair",
    "日本語 テスト 中文",
    "🙂🙃 cats 👩‍👩‍👧",
    "½ ² Ⅷ 10,000 3.14",
    "hello!!! ... --- (a) [b] {c} <d> #tag @me",
    "ÀÉÎ ß ſ İ Σας",
    "x\u00a0y\u200bz\u3000w",
    "photo<|endoftext|>cat <|startoftext|> dog",
    "under_score kebab-case CamelCase",
    "a photo of a very " * 30,
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """vocab.json and merges.txt as transformers saves them."""
    words = json.loads(from_merges(MERGES))["model"]["vocab"]
    (tmp_path / "vocab.json").write_text(json.dumps(words))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, MERGES)) + "\n")
    return tmp_path


def test_numbers_equal_transformers_on_awkward_texts(folder: Path) -> None:
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(folder)
    ours = Tokenizer(find(folder), 77)
    assert (ours.start, ours.end, ours.vocabulary) == (theirs.bos_token_id, theirs.eos_token_id, len(theirs))
    for text in AWKWARD:
        expected = theirs(text, truncation=True, max_length=77)["input_ids"]
        assert ours([text])[0, : len(expected)].tolist() == expected, text
        assert not ours([text])[0, len(expected) :].any()


def test_a_tokenizer_json_that_transformers_saved_gives_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    expected = Tokenizer(find(folder), 20)(AWKWARD)
    CLIPTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "tokenizer.json").is_file()
    assert torch.equal(Tokenizer(find(tmp_path / "saved"), 20)(AWKWARD), expected)


def test_clips_own_vocabulary_file_has_clips_order_of_tokens(folder: Path, tmp_path: Path) -> None:
    lines = '"bpe_simple_vocab_16e6.txt#version: 0.2\n' + "\n".join(map(" ".join, MERGES)) + "\n"
    path = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(gzip.compress(lines.encode()))
    made = find(path)
    assert json.loads(made) == json.loads(find(folder))
    words = json.loads(made)["model"]["vocab"]
    assert (words["!"], words["a"], words["!</w>"], words["ph"]) == (0, 64, 256, 512)
    assert (words[START], words[END]) == (512 + len(MERGES), 513 + len(MERGES))


def test_pads_with_zeros_and_keeps_the_end_token_of_a_long_text(folder: Path) -> None:
    tokenizer = Tokenizer(find(folder), 6)
    ids = tokenizer(["cat", "photo of cat dog dog dog dog", ""])
    assert ids.dtype == torch.int64
    assert ids[0].tolist()[0] == tokenizer.start and ids[0].tolist()[2:] == [tokenizer.end, 0, 0, 0]
    assert ids[1, 5] == tokenizer.end and (ids[1] != 0).all()
    assert ids[2].tolist() == [tokenizer.start, tokenizer.end, 0, 0, 0, 0]
    assert tokenizer([]).shape == (0, 6)


def test_a_trained_tokenizer_writes_any_text_and_ends_with_its_largest_number() -> None:
    captions = ["a small red cube left of a blue ball", "a large green cone", "a photo of a red ball"] * 4
    made = Tokenizer.train(captions, 300)
    tokenizer = Tokenizer(made, 24)
    assert tokenizer.vocabulary <= 300
    assert tokenizer.end == tokenizer.vocabulary - 1
    ids = tokenizer([*captions, "日本 ¡Zürich! 🙂"])
    assert (ids.argmax(1) == (ids == tokenizer.end).int().argmax(1)).all()
    assert (ids == tokenizer.start).sum() == len(ids)
    assert not torch.equal(tokenizer(["redball"]), tokenizer(["red ball"]))
    assert torch.equal(tokenizer(["A  Red Ball"]), tokenizer(["a red ball"]))
    assert Tokenizer.train(captions, 300) == made
    frequent = tokenizer(["a red ball"])[0]
    assert int(frequent.argmax()) <= 4  # start, three words


def test_a_trained_tokenizer_needs_room_for_all_bytes() -> None:
    with pytest.raises(ValueError, match="at least 258"):
        Tokenizer.train(["a"], 257)


def test_what_is_no_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no tokenizer that"):
        Tokenizer("{}", 77)
    with pytest.raises(ValueError, match="at least 3"):
        Tokenizer(find(folder), 2)
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        find(tmp_path / "nothing")
    assert beside(tmp_path / "nothing") is None
    (folder / "merges.txt").write_text("#version: 0.2\na b c\n")
    with pytest.raises(ValueError, match="merge 1"):
        find(folder)
    (folder / "merges.txt").write_text("#version: 0.2\nqq zz\n")
    with pytest.raises(ValueError, match="do not fit"):
        find(folder)
    (folder / "vocab.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        find(folder)
    (tmp_path / "words.txt.gz").write_bytes(gzip.compress(b"a b\n")[:-6])
    with pytest.raises(ValueError, match="damaged"):
        find(tmp_path / "words.txt.gz")


def test_a_tokenizer_without_start_and_end_is_refused() -> None:
    from tokenizers import Tokenizer as Library
    from tokenizers import models

    with pytest.raises(ValueError, match="startoftext"):
        Tokenizer(Library(models.BPE()).to_str(), 77)
