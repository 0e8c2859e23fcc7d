"""Compresses the values of a journal file that was written without compression.

systemd writes with the compression that it was built for, and only newer versions can be told
another (SYSTEMD_JOURNAL_COMPRESS, since 253). The libraries are those that systemd uses.

    recompress.py FILE xz|lz4
"""

import ctypes
import lzma
import struct
import sys

DATA = 1
XZ = {"format": lzma.FORMAT_XZ, "check": lzma.CHECK_NONE, "preset": 0}


def xz(value):
    return lzma.compress(value, **XZ)


def lz4(value):
    most = len(value) + len(value) // 255 + 16
    block = ctypes.create_string_buffer(most)
    size = liblz4.LZ4_compress_default(value, block, len(value), most)
    return struct.pack("<Q", len(value)) + block.raw[:size]


path, algorithm = sys.argv[1:]
flag, compress = {"xz": (1, xz), "lz4": (2, lz4)}[algorithm]
liblz4 = ctypes.CDLL("liblz4.so.1") if algorithm == "lz4" else None

with open(path, "r+b") as file:
    journal = bytearray(file.read())
    (incompatible,) = struct.unpack_from("<I", journal, 12)
    payload = 72 if incompatible & 16 else 64
    (header_size,) = struct.unpack_from("<Q", journal, 88)
    (tail_object,) = struct.unpack_from("<Q", journal, 136)
    compressed, at = 0, header_size
    while at <= tail_object:
        kind, _, size = struct.unpack_from("<BB6xQ", journal, at)
        value = bytes(journal[at + payload : at + size])
        if kind == DATA and len(value) >= 512:
            stored = compress(value)
            # As systemd does it: what does not get shorter stays as it is.
            if len(stored) < len(value):
                struct.pack_into("<BB6xQ", journal, at, kind, flag, payload + len(stored))
                journal[at + payload : at + payload + len(stored)] = stored
                compressed += 1
        at += (size + 7) & ~7
    # Zstandard is no longer among what a reader has to know.
    struct.pack_into("<I", journal, 12, incompatible & ~8 | flag)
    file.seek(0)
    file.write(journal)

print(compressed)
