"""Signatures of model-signing and of export.sign against the verifier, and each kind of tampering against its sentence."""

import base64
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

import runtime
from export.sign import sign
from runtime import signature
from runtime.artifact import SIGNATURE, read, write
from runtime.signature import Untrusted, verify

GOLDEN = Path(__file__).parent.parent / "golden" / "signed_v1"
PEM = serialization.Encoding.PEM


def keys(folder: Path, curve: Any = None, name: str = "key") -> tuple[Path, Path]:
    """Private and public."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def signed(artifact: Path, tmp_path: Path) -> SimpleNamespace:
    private, public = keys(tmp_path)
    sign(artifact, private)
    return SimpleNamespace(folder=artifact, private=private, public=public)


def rewrite(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    bundle = json.loads((folder / SIGNATURE).read_text())
    edit(bundle)
    (folder / SIGNATURE).write_text(json.dumps(bundle))


def restate(signed: SimpleNamespace, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the statement and sign it again with the right key: what a careless signer might do."""
    envelope = json.loads((signed.folder / SIGNATURE).read_text())["dsseEnvelope"]
    content = json.loads(base64.b64decode(envelope["payload"]))
    edit(content)
    payload = json.dumps(content).encode()
    key: Any = serialization.load_pem_private_key(signed.private.read_bytes(), None)
    made = key.sign(signature.pae(payload), signature.algorithm(key))

    def put(bundle: dict[str, Any]) -> None:
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
        bundle["dsseEnvelope"]["signatures"] = [{"sig": base64.b64encode(made).decode(), "keyid": ""}]

    rewrite(signed.folder, put)


# what holds


def test_what_model_signing_signed_is_verified_loaded_and_run(tiny: SimpleNamespace) -> None:
    task = runtime.load(GOLDEN / "artifact", require_signature=GOLDEN / "public.pem")
    assert task.embed(list(tiny.images())).shape == (4, tiny.DIM)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_keys_of_every_curve_of_oms_hold(artifact: Path, tmp_path: Path, curve: Any) -> None:
    private, public = keys(tmp_path, curve)
    sign(artifact, private)
    verify(artifact, public)


def test_a_signature_is_not_among_the_checksums_and_survives_loading(signed: SimpleNamespace) -> None:
    found = read(signed.folder)
    assert SIGNATURE not in found.files
    assert SIGNATURE not in write(found, signed.folder).files
    verify(signed.folder, signed.public)  # the manifest was written again with the same bytes
    runtime.load(signed.folder, require_signature=str(signed.public))


def test_files_below_folders_are_covered_too(artifact: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    (artifact / "notes").mkdir()
    (artifact / "notes" / "a.txt").write_text("a")
    sign(artifact, private)
    verify(artifact, public)
    (artifact / "notes" / "b.txt").write_text("b")
    with pytest.raises(Untrusted, match=r"notes/b\.txt was added"):
        verify(artifact, public)


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("model_signing", "OpenSSL")), reason="pip install model-signing pyopenssl"
)
def test_model_signing_verifies_what_export_sign_writes(signed: SimpleNamespace) -> None:
    import model_signing

    config = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=signed.public)
    config.verify(signed.folder, signed.folder / SIGNATURE)


# what is refused


def test_what_is_not_signed_is_refused(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(Untrusted, match=r"is not signed: it has no model\.sig; sign it with `python -m export\.sign"):
        runtime.load(artifact, require_signature=keys(tmp_path)[1])


def test_another_key_is_refused_also_where_the_bundle_does_not_name_its_own(signed: SimpleNamespace, tmp_path: Path) -> None:
    other = keys(tmp_path, name="other")[1]
    with pytest.raises(Untrusted, match=r"was made with another key than .*ask whoever made the artifact"):
        verify(signed.folder, other)
    rewrite(signed.folder, lambda bundle: bundle["verificationMaterial"]["publicKey"].pop("hint"))
    verify(signed.folder, signed.public)
    with pytest.raises(Untrusted, match="does not hold: it was changed, or made with another key"):
        verify(signed.folder, other)


def test_a_forger_who_names_our_key_is_refused(signed: SimpleNamespace, tmp_path: Path) -> None:
    named = json.loads((signed.folder / SIGNATURE).read_text())["verificationMaterial"]
    sign(signed.folder, keys(tmp_path, name="other")[0])
    rewrite(signed.folder, lambda bundle: bundle.update(verificationMaterial=named))
    with pytest.raises(Untrusted, match="does not hold"):
        verify(signed.folder, signed.public)


def test_a_flipped_byte_in_any_file_is_refused_even_unchecked(signed: SimpleNamespace) -> None:
    for name in signature.files_of(signed.folder):
        path = signed.folder / name
        content = path.read_bytes()
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        with pytest.raises(Untrusted, match=f"{name} was changed after it was signed"):
            runtime.load(signed.folder, require_signature=signed.public, check=False)
        path.write_bytes(content)
    verify(signed.folder, signed.public)


def test_a_changed_file_with_renewed_checksums_is_refused(signed: SimpleNamespace, seal: Callable[[Path], None]) -> None:
    (signed.folder / "closed.onnx").write_bytes((signed.folder / "open.onnx").read_bytes())
    seal(signed.folder)
    with pytest.raises(Untrusted, match="was changed after it was signed"):
        runtime.load(signed.folder, require_signature=signed.public)


@pytest.mark.parametrize("name", ["closed.engine", ".hidden", ".git", "below/model.sig"])
def test_an_added_file_is_refused_whatever_its_name(signed: SimpleNamespace, name: str) -> None:
    (signed.folder / name).parent.mkdir(exist_ok=True)
    (signed.folder / name).write_bytes(b"")
    with pytest.raises(Untrusted, match="was added after it was signed"):
        verify(signed.folder, signed.public)


def test_a_removed_file_is_refused(signed: SimpleNamespace) -> None:
    (signed.folder / "open.onnx").unlink()
    with pytest.raises(Untrusted, match=r"open\.onnx is missing"):
        verify(signed.folder, signed.public)


@pytest.mark.parametrize("name", ["closed.onnx", "model.sig"])
def test_a_symbolic_link_is_refused(signed: SimpleNamespace, tmp_path: Path, name: str) -> None:
    shutil.move(signed.folder / name, tmp_path / name)
    (signed.folder / name).symlink_to(tmp_path / name)
    with pytest.raises(Untrusted, match="is a symbolic link"):
        verify(signed.folder, signed.public)


def flip(bundle: dict[str, Any]) -> None:
    """Another digest in the statement, without signing it again."""
    content = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    content["predicate"]["resources"][0]["digest"] = "0" * 64
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (flip, "does not hold"),
        (lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(sig="AAAA"), "does not hold"),
        (lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(sig="no base64"), "is not a valid OMS signature"),
        (
            lambda bundle: bundle["dsseEnvelope"]["signatures"].append(bundle["dsseEnvelope"]["signatures"][0]),
            "expected one signature",
        ),
        (lambda bundle: bundle["dsseEnvelope"].update(signatures=[]), "expected one signature"),
        (lambda bundle: bundle["dsseEnvelope"].update(payloadType="text/plain"), "expected one signature"),
        (lambda bundle: bundle["dsseEnvelope"].update(payload=5), "is not a valid OMS signature"),
        (lambda bundle: bundle.update(mediaType="application/zip"), "its mediaType is 'application/zip'"),
        (lambda bundle: bundle.pop("verificationMaterial"), "is not a valid OMS signature"),
        (lambda bundle: bundle.pop("dsseEnvelope"), "is not a valid OMS signature"),
    ],
)
def test_an_altered_bundle_is_refused(signed: SimpleNamespace, edit: Callable[[dict[str, Any]], object], sentence: str) -> None:
    rewrite(signed.folder, edit)
    with pytest.raises(Untrusted, match=sentence):
        verify(signed.folder, signed.public)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda content: content.update(predicateType="https://slsa.dev/provenance/v1"), "it states 'https://slsa.dev"),
        (lambda content: content.update(_type="other"), "expected https://model_signing/signature/v1.0"),
        (lambda content: content.update(subject=[]), "is not a valid OMS signature"),
        (lambda content: content["subject"][0]["digest"].update(sha256="0" * 64), "its root digest"),
        (lambda content: content["predicate"]["resources"].append(content["predicate"]["resources"][0]), "its root digest"),
        (lambda content: content["predicate"]["resources"].pop(), "its root digest"),
        (lambda content: content["predicate"]["resources"][0].update(algorithm="md5"), "each with a sha256"),
        (lambda content: content["predicate"]["serialization"].update(method="shards"), "each with a sha256"),
        (lambda content: content["predicate"]["resources"][0].update(name="../outside"), "outside is missing"),
        (lambda content: content.pop("predicate"), "is not a valid OMS signature"),
    ],
)
def test_a_statement_that_is_no_list_of_the_files_is_refused_though_it_is_signed(
    signed: SimpleNamespace, edit: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    restate(signed, edit)
    with pytest.raises(Untrusted, match=sentence):
        verify(signed.folder, signed.public)


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b"null", b'"text"', b"{}", b"\xff\xfe", b"[" * 100_000])
def test_garbage_is_refused(signed: SimpleNamespace, content: bytes) -> None:
    (signed.folder / SIGNATURE).write_bytes(content)
    with pytest.raises(Untrusted, match="is not a valid OMS signature"):
        verify(signed.folder, signed.public)


def test_a_huge_bundle_is_not_read(signed: SimpleNamespace) -> None:
    with (signed.folder / SIGNATURE).open("r+b") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(Untrusted, match="has 1099511627776 bytes, more than any signature; it was not read"):
        verify(signed.folder, signed.public)


# keys that are none


def test_a_missing_key_is_named(signed: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no public key .*nowhere\.pem"):
        verify(signed.folder, tmp_path / "nowhere.pem")


def test_a_private_key_or_text_is_no_public_key(signed: SimpleNamespace) -> None:
    for path in (signed.private, signed.folder / "parity.json"):
        with pytest.raises(ValueError, match="is not a public key in PEM"):
            verify(signed.folder, path)


def test_a_key_of_another_kind_is_refused(signed: SimpleNamespace, tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    (tmp_path / "ed.pem").write_bytes(key.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(ValueError, match="OMS takes the curves P-256, P-384 and P-521"):
        verify(signed.folder, tmp_path / "ed.pem")


def test_without_cryptography_it_says_what_to_install(signed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.serialization", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'contrastrt\[sign\]'"):
        runtime.load(signed.folder, require_signature=signed.public)
