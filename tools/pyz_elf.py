"""Changes to ELF files on their way into memory, so that every loader takes them.

Formats are those of the System V ABI ("gABI"), 64 bits, little end first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

_LOAD, _DYNAMIC, _WRITABLE = 1, 2, 2
_PAGE = 0x1000  # the smallest that there is; what follows a segment in its last page is loaded
_DT_NULL, _REL, _RELSZ, _RELENT, _RELRSZ, _RELR, _RELRENT = 0, 17, 18, 19, 35, 36, 37
_REL_BYTES = 16
_RELATIVE = {62: 8, 183: 1027}  # R_X86_64_RELATIVE, R_AARCH64_RELATIVE, by e_machine
_SEGMENT = struct.Struct("<IIQQQQQQ")  # type, flags, offset, address, -, file size, size, align


def point_at(binary: bytes, library: str, place: str) -> bytes:
    """An ELF file that asks for ``library`` by name, made to ask for the file ``place``.

    What a wheel brings along it looks for in a folder beside itself; in memory there is none.
    A name with a slash is taken as a path. Raises ``ImportError`` if there is no room for it.
    """
    old = b"\0" + library.encode() + b"\0"
    new = b"\0" + place.encode().ljust(len(library), b"\0") + b"\0"
    if binary.count(old) != 1 or len(new) != len(old):
        raise ImportError(f"{library} cannot be loaded from memory")
    return binary.replace(old, new)


def without_relr(binary: bytes, name: str) -> bytes:
    """An ELF library with its packed relocations (DT_RELR) as ordinary ones (DT_REL).

    musl's loader knows the packed form since 1.2.4 only. An older one passes over it without a
    word, and jumps to where nothing is. The table of ordinary ones goes behind a segment that is
    loaded and has room for it in its last page. Raises ``ImportError`` if there is none.
    """
    changed = bytearray(binary)
    try:
        _convert(changed)
    except (struct.error, ValueError, KeyError) as error:
        raise ImportError(f"{name} cannot be loaded from memory") from error
    return bytes(changed)


def _convert(binary: bytearray) -> None:
    segments = list(_segments(binary))
    dynamic = dict(_dynamic(binary, segments))
    if _RELR not in dynamic:
        return
    if _REL in dynamic:
        raise ValueError("both forms")
    packed = _offset(segments, _value(binary, dynamic[_RELR]))
    words = struct.unpack_from(f"<{_value(binary, dynamic[_RELRSZ]) // 8}Q", binary, packed)
    kind = _RELATIVE[struct.unpack_from("<H", binary, 18)[0]]
    table = b"".join(struct.pack("<QQ", place, kind) for place in unpacked(words))
    address = _append(binary, segments, table)
    struct.pack_into("<QQ", binary, dynamic[_RELR], _REL, address)
    struct.pack_into("<QQ", binary, dynamic[_RELRSZ], _RELSZ, len(table))
    struct.pack_into("<QQ", binary, dynamic[_RELRENT], _RELENT, _REL_BYTES)


def unpacked(words: Sequence[int]) -> Iterator[int]:
    """The places that a DT_RELR table names: an even word is one, an odd one has a bit for each
    of the 63 that follow (gABI, "Relative Relocation Table")."""
    place = 0
    for word in words:
        if word & 1 == 0:
            yield word
            place = word + 8
            continue
        for bit in range(63):
            if word >> bit + 1 & 1:
                yield place + 8 * bit
        place += 8 * 63


def _segments(binary: bytearray) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Where each program header stands, and its fields."""
    (start,) = struct.unpack_from("<Q", binary, 32)
    size, count = struct.unpack_from("<HH", binary, 54)
    for place in range(start, start + size * count, size):
        yield place, _SEGMENT.unpack_from(binary, place)


def _dynamic(
    binary: bytearray, segments: list[tuple[int, tuple[int, ...]]]
) -> Iterator[tuple[int, int]]:
    """Each tag of the dynamic section, and where its entry stands."""
    (start,) = (fields[2] for _place, fields in segments if fields[0] == _DYNAMIC)
    while (tag := struct.unpack_from("<q", binary, start)[0]) != _DT_NULL:
        yield tag, start
        start += 16


def _value(binary: bytearray, entry: int) -> int:
    value: int = struct.unpack_from("<Q", binary, entry + 8)[0]
    return value


def _offset(segments: list[tuple[int, tuple[int, ...]]], address: int) -> int:
    """Where in the file is what will be at ``address``."""
    for _place, (kind, _flags, offset, start, _unused, size, *_rest) in segments:
        if kind == _LOAD and start <= address < start + size:
            return offset + address - start
    raise ValueError(address)


def _append(
    binary: bytearray, segments: list[tuple[int, tuple[int, ...]]], table: bytes
) -> int:
    """Put ``table`` behind a segment, and let that be longer; the table's address."""
    for place, fields in segments:
        kind, flags, offset, start, physical, size, memory, align = fields
        end = offset + size
        gap = -end % 8
        behind = binary[end : end + gap + len(table)]
        room = -end % _PAGE >= gap + len(table) and not any(behind)
        if kind == _LOAD and not flags & _WRITABLE and size == memory and room:
            binary[end + gap : end + gap + len(table)] = table
            longer = size + gap + len(table)
            _SEGMENT.pack_into(
                binary, place, kind, flags, offset, start, physical, longer, longer, align
            )
            return start + size + gap
    raise ValueError("no room")
