"""How much memory is free."""

from __future__ import annotations

from pathlib import Path


def available() -> int | None:
    """Bytes that can be taken without swapping, the limit of a container included; None where the system does not tell."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (group / name for name in ("memory.max", "memory.current"))
        found.append(int(limit.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no cgroup, or "max": no limit
        pass
    return min(found, default=None)
