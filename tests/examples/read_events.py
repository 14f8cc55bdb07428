"""Reads a TensorBoard event file by its format alone and prints {tag: {step: value}} as JSON.

usage: read_events.py FILE
"""
import json
import struct
import sys

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ 0x82F63B78 if n & 1 else n >> 1
    TABLE.append(n)


def check(data, masked):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    assert ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF == masked, "checksum"


def records(data):
    while data:
        length, crc = struct.unpack_from("<QI", data)
        check(data[:8], crc)
        event, (crc,) = data[12:12 + length], struct.unpack_from("<I", data, 12 + length)
        check(event, crc)
        yield event
        data = data[16 + length:]


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def fields(message):
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        if key & 7 == 0:
            value, at = varint(message, at)
        else:
            size, at = {1: lambda: (8, at), 5: lambda: (4, at), 2: lambda: varint(message, at)}[key & 7]()
            value, at = message[at:at + size], at + size
        yield key >> 3, value


curves, first = {}, True
for record in records(open(sys.argv[1], "rb").read()):
    event = dict(fields(record))
    assert struct.unpack("<d", event[1])[0] > 1.6e9, "wall time"
    if first:
        assert event[3] == b"brain.Event:2"
    for number, value in fields(event.get(5, b"")):
        scalar = dict(fields(value))
        curves.setdefault(scalar[1].decode(), {})[event[2]] = struct.unpack("<f", scalar[2])[0]
    first = False
print(json.dumps(curves))
