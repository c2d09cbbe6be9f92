"""Bytes of .caffemodel files, for the tests of their reader."""

import struct


def varint(value):
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def message(field, content):
    """A field of bytes."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field, value):
    return varint(field << 3) + varint(value)


def blob(array, old=False):
    data = message(5, struct.pack(f"<{array.size}f", *array.ravel().tolist()))
    if old:
        shape = [1] * (4 - array.ndim) + list(array.shape)
        return b"".join(number(field, size) for field, size in enumerate(shape, 1)) + data
    return data + message(7, message(1, b"".join(map(varint, array.shape))))


def caffemodel(layers, old=False):
    """A file of layers, name -> arrays, in the new form or the old one."""
    top, name_field, blob_field = (2, 4, 6) if old else (100, 1, 7)
    parts = [message(1, b"net")]
    for name, arrays in layers.items():
        content = message(name_field, name.encode()) + number(5, 4)
        content += b"".join(message(blob_field, blob(array, old)) for array in arrays)
        parts.append(message(top, content))
    return b"".join(parts)
