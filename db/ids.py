"""Ids that sort by the time they were made."""

import hashlib
import secrets
import threading
import time
import uuid
from datetime import datetime

_lock = threading.Lock()
_last = 0


def uuid7() -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, then random bits.

    The 12 bits behind the milliseconds are a fraction of one (method 3 of section 6.2), and a
    clock that stands still or runs back is stepped over, so ids of one process only go up.
    """
    global _last
    with _lock:
        stamp = time.time_ns() * 4096 // 1_000_000  # 1/4096 ms, 60 bits
        _last = max(_last + 1, stamp)
        stamp = _last
    milliseconds, fraction = stamp >> 12, stamp & 0xFFF
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def derived_uuid7(name: str, moment: datetime | None) -> str:
    """An id that is always the same for the same name and moment, and sorts by the moment.

    In place of random bits it has those of a SHA-256 of the name. An unknown moment is that at
    which the count of milliseconds begins, 1970.
    """
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:10], "big")
    milliseconds = int(moment.timestamp() * 1000) if moment is not None else 0
    value = milliseconds << 80 | 0x7 << 76 | (digest >> 64 & 0xFFF) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | digest & (1 << 62) - 1))
