"""Publishes messages as a stranger does: publish.py URL QUEUE CASE...

Each case is one message, published in the order given, confirmed and routed. None has a header of swarrot's own,
but for those that show what PHP Swarrot writes.
"""

import datetime
import decimal
import struct
import sys

import pika
import pika.data
from pika.compat import long


class Raw:
    """A header's value as another client encodes it: the type's letter, and what follows."""

    def __init__(self, letter, layout, *values):
        self.encoded = letter + struct.pack(layout, *values)

    @classmethod
    def text(cls, content):
        return cls(b"S", f">I{len(content)}s", len(content), content)


def encode_value(pieces, value, encode=pika.data.encode_value):
    if not isinstance(value, Raw):
        return encode(pieces, value)
    pieces.append(value.encoded)
    return len(value.encoded)


# Both encoders of pika's look the name up when they come to a nested value.
pika.data.encode_value = encode_value


def nested(levels):
    value = "deep"
    for level in range(levels):
        value = [value] if level % 2 else {"é": value}
    return value


WHEN = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc)

# The values that pika can send.
PIKA = {
    "true": True,
    "false": False,
    "minus one": -1,
    "least of 32 bits": -(2**31),
    "most of 32 bits": 2**31 - 1,
    "beyond 32 bits": -(2**31) - 1,
    "small, but wide": long(-7),
    "least of 64 bits": -(2**63),
    "most of 64 bits": 2**63 - 1,
    "decimal": decimal.Decimal("19.99"),
    "negative decimal": decimal.Decimal("-1.5"),
    "whole decimal": decimal.Decimal("-3"),
    "timestamp": WHEN,
    "epoch": datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc),
    "void": None,
    "text": "Grüße, 世界 \U0001f600",
    "no text": "",
    "zero in text": "a\0b",
    "bytes": b"\x00\xff\x80",
    "no bytes": b"",
    "list": [1, "zwei", None, [-3, []], {"é": b"\xff"}],
    "no list": [],
    "map": {"": "no name", "inner": {"decimal": decimal.Decimal("0.01"), "when": WHEN}, "list": [True]},
    "no map": {},
}

# What others send, and pika only reads.
OTHERS = {
    "b": Raw(b"b", ">b", -128),
    "B": Raw(b"B", ">B", 255),
    "s": Raw(b"s", ">h", -32768),
    "u": Raw(b"u", ">H", 65535),
    "I": Raw(b"I", ">i", -2),
    "i": Raw(b"i", ">I", 2**32 - 1),
    "l": Raw(b"l", ">q", -3),
    "L": Raw(b"L", ">q", -4),
    "f": Raw(b"f", ">f", 0.5),
    "d": Raw(b"d", ">d", -1.0e300),
    "small decimal": Raw(b"D", ">Bi", 40, 3),
    "smallest decimal": Raw(b"D", ">Bi", 255, 1),
    "least decimal": Raw(b"D", ">Bi", 0, -(2**31)),
    "Latin-1": Raw.text("Grüße".encode("latin-1")),
    "late": Raw(b"T", ">Q", 2**64 - 1),
}

PROPERTIES = dict(
    content_type="text/plain; charset=latin1",
    content_encoding="gzip",
    priority=7,
    correlation_id="Wörter 1",
    reply_to="replies/größe",
    expiration="86400000",
    message_id="not-a-uuid",
    timestamp=1_700_000_000,
    type="user.reset",
    app_id="legacy \U0001f40d",
)

CASES = {
    "bare": (b"bare", None),
    "empty": (b"", None),
    "binary": (bytes(range(256)), {}),
    "large": (bytes(range(251)) * 2000, {}),
    "properties": (b"{}", PROPERTIES),
    "transient": (b"x", dict(delivery_mode=1, priority=0, expiration="99999", message_id="", timestamp=0)),
    "no headers": (b"x", dict(headers={})),
    "pika": (b"x", dict(headers=PIKA)),
    "others": (b"x", dict(headers=OTHERS)),
    "names": (
        b"x",
        dict(headers={"": 1, "n" * 255: 2, "größe": 3, "имя/世界 \U0001f600": 4, "a b\tc": 5, "\0": 6}),
    ),
    "at the limit": (b"x", dict(headers={"nested": nested(8)})),
    "beyond the limit": (b"x", dict(headers={"nested": nested(9)})),
    "far beyond": (b"x", dict(headers={"nested": nested(70)})),
    # What PHP Swarrot writes with php-amqplib: 32 bits; and with the extension amqp: 64, and a time where there is none.
    "tried twice": (b"x", dict(headers={"swarrot_retry_attempts": 2})),
    "tried twice, wide": (
        b"x",
        dict(headers={"swarrot_retry_attempts": long(2), "x-custom": "kept"}, timestamp=0, priority=0),
    ),
    "tried twice, as text": (b"x", dict(headers={"swarrot_retry_attempts": "2"})),
    "tried twice, odd": (b"x", dict(headers={"swarrot_retry_attempts": Raw(b"u", ">H", 2)})),
}


def main(url, queue, *cases):
    # What is behind a `?` has other names here.
    connection = pika.BlockingConnection(pika.URLParameters(url.split("?")[0]))
    channel = connection.channel()
    channel.confirm_delivery()
    for case in cases:
        body, properties = CASES[case]
        properties = None if properties is None else pika.BasicProperties(**properties)
        channel.basic_publish("", queue, body, properties, mandatory=True)
    connection.close()


main(*sys.argv[1:])
