"""Text to token numbers, as CLIP does it: byte-pair encoding by the tokenizers library, with a vocabulary that the user has."""

from __future__ import annotations

import gzip
import importlib.util
import json as json_text
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES_FILE = "bpe_simple_vocab_16e6.txt"
_CLIP_MERGES = 49152 - 256 - 2
_SIZE_LIMIT = 64 << 20  # bytes of a vocabulary file
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def _library() -> ModuleType:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError("CLIP's texts need the package tokenizers; install it with: pip install tokenizers") from error
    return tokenizers


class Tokenizer:
    """Texts -> start token, words, end token, zeros.

    Args:
        json: a tokenizer in the JSON text of the tokenizers library; it knows CLIP's start and end token.
        context: tokens of a text; a longer one loses its last words and keeps its end token.
    """

    def __init__(self, json: str, context: int) -> None:
        if context < 3:
            raise ValueError(f"context={context} was given; a text needs at least 3 tokens")
        self.context = context
        try:
            self._tokenizer = _library().Tokenizer.from_str(json)
        except Exception as error:  # the library raises nothing more precise
            raise ValueError(f"this is no tokenizer that the tokenizers library reads: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        start, end = (self._tokenizer.token_to_id(token) for token in (START, END))
        if start is None or end is None:
            raise ValueError(f"the tokenizer knows no {START} or no {END}; expected one of a CLIP")
        self.start, self.end = start, end
        self.vocabulary = self._tokenizer.get_vocab_size()

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """k texts -> int64 (k, context)"""
        ids = torch.zeros(len(texts), self.context, dtype=torch.int64)
        for row, text in enumerate(texts):
            words = self._tokenizer.encode(text, add_special_tokens=False).ids[: self.context - 2]
            ids[row, : len(words) + 2] = torch.tensor([self.start, *words, self.end])
        return ids

    @staticmethod
    def train(captions: Iterable[str], vocabulary: int) -> str:
        """Make a small tokenizer of at most `vocabulary` tokens; its JSON text.

        All bytes are tokens, so that any text can be written; a word's first token carries the space before it. The end token
        is the largest id, as CLIP's pooling wants it.
        """
        if vocabulary < 256 + 2:
            raise ValueError(f"vocabulary={vocabulary} was given; expected at least 258: all bytes, start and end")
        library = _library()
        made = library.Tokenizer(library.models.BPE())
        made.normalizer = _cleaning()
        made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
        alphabet = library.pre_tokenizers.ByteLevel.alphabet()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocabulary - 2, initial_alphabet=alphabet, min_frequency=2, show_progress=False
        )
        made.train_from_iterator(captions, trainer)
        made.add_special_tokens([START, END])
        return str(made.to_str())


def from_merges(merges: Sequence[tuple[str, str]], vocabulary: dict[str, int] | None = None) -> str:
    """CLIP's tokenizer from its merges; its JSON text.

    Args:
        merges: pairs of tokens, most frequent first.
        vocabulary: token -> number; None: CLIP's order (bytes, bytes that end a word, merged pairs, start, end).
    """
    library = _library()
    if vocabulary is None:
        letters = _bytes_as_letters()
        tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(first + second for first, second in merges), START, END]
        vocabulary = {token: number for number, token in enumerate(tokens)}
    try:
        model = library.models.BPE(
            vocab=vocabulary, merges=list(merges), continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=END
        )
    except Exception as error:  # the library raises nothing more precise
        raise ValueError(f"the vocabulary and its merges do not fit each other: {error}") from error
    made = library.Tokenizer(model)
    made.normalizer = _cleaning()
    split = library.pre_tokenizers.Split(library.Regex(_WORDS), behavior="removed", invert=True)
    made.pre_tokenizer = library.pre_tokenizers.Sequence([split, library.pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.add_special_tokens([START, END])
    return str(made.to_str())


def find(place: Path) -> str:
    """The tokenizer in a file, or in a folder that must have one, as JSON text.

    Args:
        place: tokenizer.json, vocab.json beside merges.txt, bpe_simple_vocab_16e6.txt.gz, or a folder with these.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged.
    """
    if place.is_file():
        return _from_file(place)
    found = beside(place)
    if found is None:
        raise FileNotFoundError(
            f"there is no vocabulary at {place}; expected tokenizer.json, vocab.json with merges.txt, or {MERGES_FILE}.gz"
        )
    return found


def beside(folder: Path) -> str | None:
    """The tokenizer in a folder, or None."""
    for name in ("tokenizer.json", "merges.txt", f"{MERGES_FILE}.gz", MERGES_FILE):
        if (folder / name).is_file() and (name != "merges.txt" or (folder / "vocab.json").is_file()):
            return _from_file(folder / name)
    return None


def installed() -> str | None:
    """CLIP's tokenizer from an installed open_clip or clip, which is not imported; None where there is neither."""
    for package in ("open_clip", "clip"):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (Path(folder) / f"{MERGES_FILE}.gz").is_file():
                return _from_file(Path(folder) / f"{MERGES_FILE}.gz")
    return None


def _from_file(path: Path) -> str:
    if path.name.endswith(".json") and path.name != "vocab.json":
        return _text(path)
    if path.name in ("vocab.json", "merges.txt"):
        try:
            words = json_text.loads(_text(path.with_name("vocab.json")))
        except json_text.JSONDecodeError as error:
            raise ValueError(f"{path.with_name('vocab.json')} is not valid JSON ({error})") from error
        return from_merges(_merges(_text(path.with_name("merges.txt"))), words)
    return from_merges(_merges(_text(path))[:_CLIP_MERGES])


def _text(path: Path) -> str:
    """A text file's content, unpacked if it is gzip's; size bounded."""
    if not path.is_file():
        raise FileNotFoundError(f"the vocabulary file {path} is missing")
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            content = gzip.GzipFile(fileobj=file).read(_SIZE_LIMIT + 1) if packed else file.read(_SIZE_LIMIT + 1)
        if len(content) > _SIZE_LIMIT:
            raise ValueError(f"the vocabulary file {path} is larger than {_SIZE_LIMIT >> 20} MiB")
        return content.decode("utf-8")
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"the vocabulary file {path} is damaged: {error}") from error


def _merges(text: str) -> list[tuple[str, str]]:
    """Lines of two tokens; a first line that is a heading is skipped."""
    lines = text.split("\n")
    if lines and (lines[0].startswith('"') or lines[0].startswith("#version")):
        lines = lines[1:]
    pairs: list[tuple[str, str]] = []
    for line in lines:
        match line.split():
            case []:
                continue
            case [first, second]:
                pairs.append((first, second))
            case _:
                raise ValueError(f"merge {len(pairs) + 1} of the vocabulary is {line[:40]!r}; expected two tokens")
    return pairs


def _cleaning() -> Any:
    library = _library()
    normal = library.normalizers
    return normal.Sequence([normal.NFC(), normal.Replace(library.Regex(r"\s+"), " "), normal.Lowercase()])


def _bytes_as_letters() -> list[str]:
    """A printable letter for each of the 256 bytes, in CLIP's order: those that are printable first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printable)
    return [chr(code) for code in printable] + [chr(256 + place) for place in range(others)]
