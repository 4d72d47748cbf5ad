"""python -m export.sign: what it writes against the runtime's verifier, and each mistake against its sentence."""

import json
import runpy
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from export import sign
from runtime.artifact import SIGNATURE
from runtime.signature import verify

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    script = Path(__file__).parent.parent / "golden" / "make_zero_shot.py"
    runpy.run_path(str(script))["build"](tmp_path / "artifact", ("embedding",))
    return tmp_path / "artifact"


def key(path: Path, password: bytes | None = None) -> Path:
    """Writes a private key, and its public half beside it."""
    made, pem = ec.generate_private_key(ec.SECP256R1()), serialization.Encoding.PEM
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(made.private_bytes(pem, serialization.PrivateFormat.PKCS8, hidden))
    path.with_suffix(".pub").write_bytes(made.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return path


def test_it_signs_every_file_and_says_so(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    assert sign.main([str(folder), "--key", str(key(tmp_path / "key.pem"))]) == 0
    assert capsys.readouterr().out == f"4 files signed: {folder / SIGNATURE}\n"
    verify(folder, tmp_path / "key.pub")
    assert {path.name for path in folder.parent.iterdir()} == {"artifact", "key.pem", "key.pub"}


def test_signing_again_replaces_the_signature(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    assert sign.main([str(folder), "--key", str(key(tmp_path / "first.pem"))]) == 0
    assert sign.main([str(folder), "--key", str(key(tmp_path / "second.pem")), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["files"] == ["artifact.json", "embedding.onnx", "golden.npz", "parity.json"]
    verify(folder, tmp_path / "second.pub")


def test_an_encrypted_key_asks_for_its_password(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key(tmp_path / "key.pem", b"open sesame")
    monkeypatch.setattr("getpass.getpass", lambda prompt: "open sesame" if str(path) in prompt else "")
    assert sign.main([str(folder), "--key", str(path)]) == 0
    verify(folder, tmp_path / "key.pub")
    with pytest.raises(ValueError, match="it is encrypted, and no password was given"):
        sign.sign(folder, path)


def test_a_mistake_is_a_sentence_and_nothing_is_written(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: "wrong")
    good, hidden = key(tmp_path / "key.pem"), key(tmp_path / "hidden.pem", b"right")
    (tmp_path / "text.pem").write_text("no key")
    for name, given, sentence in (
        (folder, tmp_path / "nowhere.pem", "there is no key"),
        (folder, tmp_path / "text.pem", "cannot be used as a private key in PEM"),
        (folder, tmp_path / "key.pub", "cannot be used as a private key in PEM"),
        (folder, hidden, "cannot be used as a private key in PEM"),
        (tmp_path, good, "is not an artifact"),
    ):
        assert sign.main([str(name), "--key", str(given)]) == 2
        assert sentence in capsys.readouterr().err
    (folder / "embedding.onnx").write_bytes(b"damaged")
    assert sign.main([str(folder), "--key", str(good)]) == 2
    assert "is damaged or was changed" in capsys.readouterr().err
    assert not (folder / SIGNATURE).exists()
