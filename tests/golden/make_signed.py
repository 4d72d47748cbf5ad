"""python tests/golden/make_signed.py FOLDER: a tiny artifact signed by the package model-signing, and the public key.

signed_v1/ was made by it, with model-signing 1.1.1 and pyopenssl, which that version imports and does not ask for.
"""

import runpy
import sys
from pathlib import Path
from tempfile import TemporaryDirectory


def main(folder: Path) -> None:
    import model_signing
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(parents=True)
    runpy.run_path(str(Path(__file__).with_name("make_zero_shot.py")))["build"](folder / "artifact", ("embedding",))
    key, encoding = ec.generate_private_key(ec.SECP256R1()), serialization.Encoding.PEM
    (folder / "public.pem").write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
    with TemporaryDirectory() as secret:
        private = Path(secret) / "key.pem"
        private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        config = model_signing.signing.Config().use_elliptic_key_signer(private_key=private)
        config.sign(folder / "artifact", folder / "artifact" / "model.sig")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
