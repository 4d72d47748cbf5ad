"""Who made an artifact: verifies its model.sig, an OpenSSF Model Signing (OMS) v1 bundle made with a bare key, offline.

The bundle is Sigstore's JSON around a DSSE envelope: the signature covers "DSSEv1", and type and payload each after its length. The
payload is an in-toto statement that lists every file with its SHA-256. `python -m export.sign` or the package model-signing write it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from .artifact import SIGNATURE, sha256

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
LIMIT = 16 * 2**20  # bytes of a bundle: some hundred per file


class Untrusted(ValueError):
    """The artifact is not what the owner of the key signed; the sentence says how it differs."""


def verify(folder: Path, public_key: Path) -> None:
    """Hold every file of the folder against its signature, and the signature against the key.

    Nothing may be missing, changed, added or a symbolic link, whatever the signer chose to ignore.

    Args:
        public_key: PEM, on one of the curves P-256, P-384 and P-521.

    Raises:
        FileNotFoundError: there is no such key.
        ModuleNotFoundError: the package cryptography is not installed.
        Untrusted: unsigned, signed by another key, altered, or the bundle is not valid.
        ValueError: the key is not one that OMS uses.
    """
    key = _public_key(public_key)
    path = folder / SIGNATURE
    if not path.is_file():
        raise Untrusted(
            f"{folder} is not signed: it has no {SIGNATURE}; sign it with `python -m export.sign {folder} --key KEY.pem`"
        )
    if path.stat().st_size > LIMIT:
        raise Untrusted(f"{path} has {path.stat().st_size} bytes, more than any signature; it was not read")
    try:
        bundle = json.loads(path.read_bytes())
        payload = _signed_payload(bundle, key, path, public_key)
        listed = _listed(json.loads(payload))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        if isinstance(error, Untrusted):
            raise
        raise Untrusted(
            f"{path} is not a valid OMS signature ({type(error).__name__}: {error}); sign the artifact again"
        ) from error
    _compare(folder, listed)


def pae(payload: bytes) -> bytes:
    """The bytes that a DSSE signature covers."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def hint(public_key: Any) -> str:
    """SHA-256 of the key's PEM, by which a bundle names its key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def algorithm(key: Any) -> Any:
    """ECDSA with the hash that OMS takes on the key's curve. ValueError: it is another kind of key."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    kinds: dict[str, hashes.HashAlgorithm] = {
        "secp256r1": hashes.SHA256(),
        "secp384r1": hashes.SHA384(),
        "secp521r1": hashes.SHA512(),
    }
    curve = getattr(getattr(key, "curve", None), "name", type(key).__name__)
    if curve not in kinds:
        raise ValueError(
            f"the key is on {curve}; OMS takes the curves P-256, P-384 and P-521: openssl ecparam -name prime256v1 -genkey"
        )
    return ec.ECDSA(kinds[curve])


def statement(name: str, files: dict[str, str]) -> dict[str, Any]:
    """The in-toto statement on a folder's files: name -> sha256."""
    ordered = sorted(files.items())
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": _root(digest for _, digest in ordered)}}],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE]},
            "resources": [{"name": file, "algorithm": "sha256", "digest": digest} for file, digest in ordered],
        },
    }


def files_of(folder: Path) -> list[str]:
    """All files below the folder but its signature, as the statement names them. Untrusted: one is a symbolic link."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise Untrusted(f"{path} is a symbolic link, which no signature covers; copy the file itself")
        if not path.is_dir() and name != SIGNATURE:
            found.append(name)
    return found


def _public_key(path: Path) -> Any:
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise ModuleNotFoundError(
            f"a signature is required, and cryptography cannot be imported ({error}): pip install 'contrastrt[sign]'",
            name="cryptography",
        ) from error
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no public key {path}; expected a PEM file: openssl ec -in key.pem -pubout -out public.pem"
        )
    try:
        key = load_pem_public_key(path.read_bytes())
    except Exception as error:  # cryptography's errors of a parser share no public base class
        raise ValueError(
            f"{path} is not a public key in PEM ({error}); openssl ec -in key.pem -pubout -out public.pem"
        ) from error
    algorithm(key)
    return key


def _signed_payload(bundle: Any, key: Any, path: Path, key_path: Path) -> bytes:
    """The payload of a bundle that this key signed."""
    from cryptography.exceptions import InvalidSignature

    if bundle["mediaType"] != BUNDLE:
        raise ValueError(f"its mediaType is {bundle['mediaType']!r}, expected {BUNDLE}")
    envelope = bundle["dsseEnvelope"]
    if envelope["payloadType"] != PAYLOAD or len(envelope["signatures"]) != 1:
        raise ValueError(f"expected one signature of {PAYLOAD}")
    payload = base64.b64decode(envelope["payload"], validate=True)
    named = bundle["verificationMaterial"]["publicKey"].get("hint")
    if named and named != hint(key):
        raise Untrusted(f"{path} was made with another key than {key_path}; ask whoever made the artifact for their public key")
    try:
        key.verify(base64.b64decode(envelope["signatures"][0]["sig"], validate=True), pae(payload), algorithm(key))
    except InvalidSignature as error:
        raise Untrusted(f"{path} does not hold: it was changed, or made with another key than {key_path}") from error
    return payload


def _listed(content: Any) -> dict[str, str]:
    """File -> sha256 of a statement."""
    if content["_type"] != STATEMENT or content["predicateType"] != PREDICATE:
        raise ValueError(f"it states {content['predicateType']!r}, expected {PREDICATE}")
    kind, resources = content["predicate"]["serialization"], content["predicate"]["resources"]
    if (kind["method"], kind["hash_type"]) != ("files", "sha256") or any(item["algorithm"] != "sha256" for item in resources):
        raise ValueError("its files are not listed each with a sha256; sign with the default settings")
    (subject,) = content["subject"]
    if subject["digest"]["sha256"] != _root(item["digest"] for item in resources):
        raise ValueError("its root digest is not that of its files")
    listed = {str(item["name"]): str(item["digest"]) for item in resources}
    if len(listed) != len(resources):
        raise ValueError("it lists a file twice")
    return listed


def _root(digests: Any) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def _compare(folder: Path, listed: dict[str, str]) -> None:
    found = set(files_of(folder))
    for difference, sentence in ((set(listed) - found, "is missing"), (found - set(listed), "was added after it was signed")):
        if difference:
            raise Untrusted(f"{folder / min(difference)} {sentence}; copy the artifact again from whoever signed it")
    for name, digest in listed.items():
        if sha256(folder / name) != digest:
            raise Untrusted(f"{folder / name} was changed after it was signed; copy the artifact again from whoever signed it")
