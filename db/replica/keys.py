"""Notice another secret: without the one that signed their tokens, visitors are strangers."""

import hashlib
from pathlib import Path


def key_check(secret: str) -> str:
    """What the target holds of the secret that signs visitors' tokens: enough to know it again.

    scrypt (RFC 7914) with 16 MiB, so that trying out secrets is costly; the secret itself never
    leaves this machine.
    """
    return hashlib.scrypt(
        secret.encode(), salt=b"genloop replica", n=2**14, r=8, p=1, dklen=16
    ).hex()


def kept(data_dir: Path) -> str:
    """The secret that an app without GENLOOP_SECRET keeps in its data folder; empty without one."""
    path = data_dir / "secret"
    return path.read_text(encoding="ascii").strip() if path.is_file() else ""
