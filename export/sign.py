"""python -m export.sign artifact/ --key key.pem: sign an artifact (OpenSSF Model Signing v1, a bare key, offline)."""

from __future__ import annotations

import argparse
import base64
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runtime import artifact, signature

EXAMPLES = """examples:
  openssl ecparam -name prime256v1 -genkey -noout -out key.pem        a key, to be kept secret
  openssl ec -in key.pem -pubout -out public.pem                      its public half, for everyone
  python -m export.sign artifact/ --key key.pem                       writes artifact/model.sig
  python -m runtime.run artifact/ photo.jpg --require-signature public.pem

model.sig is what the package model-signing writes and verifies: model_signing verify key artifact/ --signature artifact/model.sig
--public_key public.pem. Sign last: whatever is added to the artifact afterwards, an engine for example, is refused until it is
signed again.

exit status: 0 signed; 2 a mistake in what was given
"""


def sign(folder: Path, key: Path, password: Callable[[], str] | None = None) -> Path:
    """Write the artifact's model.sig, of every file as it is now, and verify it; returns its path.

    Args:
        key: private, PEM, on one of the curves P-256, P-384 and P-521.
        password: asked for where the key is encrypted.

    Raises:
        FileNotFoundError: there is no key or no artifact.
        ModuleNotFoundError: the package cryptography is not installed.
        ValueError: the key cannot be used, or the artifact is damaged.
    """
    artifact.read(folder)
    private = _private_key(key, password)
    algorithm = signature.algorithm(private)
    files = {name: artifact.sha256(folder / name) for name in signature.files_of(folder)}
    payload = json.dumps(signature.statement(folder.resolve().name, files), ensure_ascii=False).encode()
    signed = private.sign(signature.pae(payload), algorithm)
    bundle = {
        "mediaType": signature.BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": signature.hint(private.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": signature.PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
        },
    }
    out = folder / artifact.SIGNATURE
    temporary = folder.parent / f".{folder.resolve().name}.{artifact.SIGNATURE}.{os.getpid()}.tmp"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(bundle, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return out


def _private_key(path: Path, password: Callable[[], str] | None) -> Any:
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise ModuleNotFoundError(
            f"signing needs cryptography, which cannot be imported ({error}): pip install 'contrastrt[sign]'", name="cryptography"
        ) from error
    if not path.is_file():
        raise FileNotFoundError(f"there is no key {path}; make one: openssl ecparam -name prime256v1 -genkey -noout -out {path}")
    try:
        try:
            return load_pem_private_key(path.read_bytes(), None)
        except TypeError:  # it is encrypted
            if password is None:
                raise ValueError("it is encrypted, and no password was given") from None
            return load_pem_private_key(path.read_bytes(), password().encode())
    except Exception as error:  # cryptography's errors of a parser share no public base class
        raise ValueError(f"{path} cannot be used as a private key in PEM: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m export.sign",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", type=Path, help="the folder that `python -m export.onnx` wrote")
    parser.add_argument("--key", type=Path, required=True, metavar="KEY.pem", help="private key; its password is asked for")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    given = parser.parse_args(arguments)
    try:
        out = sign(given.artifact, given.key, lambda: getpass.getpass(f"password of {given.key}: "))
    except (ValueError, OSError, EOFError) as error:
        return _fail(error)
    except ModuleNotFoundError as error:
        return _fail(error.msg)
    names = signature.files_of(given.artifact)
    print(json.dumps({"signature": str(out), "files": names}) if given.json else f"{len(names)} files signed: {out}")
    return 0


def _fail(error: object) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
