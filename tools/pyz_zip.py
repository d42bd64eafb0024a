"""A zip file whose bytes depend on what is in it and on nothing else.

Names are sorted, times, permissions and versions fixed; entries that come from another zip file
are taken over as they are compressed there, so that the compressor at hand does not matter for
them. The format is PKWARE's APPNOTE 6.3, without extensions: everything here is far below 4 GiB.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass

STORED, DEFLATED = 0, 8
_VERSION = 20  # deflate, and nothing newer
_UNIX = 3 << 8  # permissions below are Unix's
_MODE = 0o100644 << 16
_UTF8 = 1 << 11
_TIME, _DATE = 0, 0x21  # 1980-01-01 00:00, the earliest that there is


@dataclass(frozen=True)
class Entry:
    """One file: ``data`` is compressed by ``method``, ``crc`` and ``size`` are of the original."""

    method: int
    data: bytes
    crc: int
    size: int


def stored(data: bytes) -> Entry:
    """An entry that is not compressed."""
    return Entry(STORED, data, zlib.crc32(data), len(data))


def deflated(data: bytes) -> Entry:
    """An entry compressed as much as zlib can."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return Entry(DEFLATED, machine.compress(data) + machine.flush(), zlib.crc32(data), len(data))


def taken(archive: zipfile.ZipFile, name: str) -> Entry:
    """An entry of another zip file, in that file's own compression."""
    info = archive.getinfo(name)
    assert archive.fp is not None and info.compress_type in (STORED, DEFLATED), name
    archive.fp.seek(info.header_offset + 26)
    lengths = struct.unpack("<HH", archive.fp.read(4))
    archive.fp.seek(sum(lengths), 1)
    data = archive.fp.read(info.compress_size)
    return Entry(info.compress_type, data, info.CRC, info.file_size)


def assemble(start: bytes, entries: dict[str, Entry]) -> bytes:
    """The whole file, with ``start`` in front of the first entry."""
    parts, directory, offset = [start], [], len(start)
    for name, entry in sorted(entries.items()):
        raw = name.encode()
        flags = 0 if raw.isascii() else _UTF8
        common = struct.pack(
            "<HHHHHIIIHH",
            _VERSION, flags, entry.method, _TIME, _DATE,
            entry.crc, len(entry.data), entry.size, len(raw), 0,
        )  # fmt: skip
        parts += [b"PK\3\4", common, raw, entry.data]
        directory.append(
            b"PK\1\2" + struct.pack("<H", _VERSION | _UNIX) + common
            + struct.pack("<HHHII", 0, 0, 0, _MODE, offset) + raw
        )
        offset += 4 + len(common) + len(raw) + len(entry.data)
    table = b"".join(directory)
    count = len(directory)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(table), offset, 0)
    return b"".join([*parts, table, end])
