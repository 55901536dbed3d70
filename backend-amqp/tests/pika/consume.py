"""Takes messages as a stranger does: consume.py URL QUEUE COUNT

Acknowledges so many, and prints them in order as one JSON list; fails unless they come within half a minute. A header's
value is an object of its AMQP type's letter and the value; bytes are in hexadecimal digits, times in seconds.
"""

import datetime
import json
import struct
import sys
import time

import pika
import pika.data
from pika.spec import BasicProperties

PROPERTIES = [
    "content_type",
    "content_encoding",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
]


class Typed:
    def __init__(self, letter, value):
        self.letter = letter
        self.value = value


def decode_value(encoded, offset, decode=pika.data.decode_value):
    letter = encoded[offset : offset + 1]
    value, end = decode(encoded, offset)
    if letter == b"d":
        # pika cuts it off to a whole number.
        (value,) = struct.unpack_from(">d", encoded, offset + 1)
    return Typed(letter.decode("ascii"), value), end


# pika's decoders look the name up for each value.
pika.data.decode_value = decode_value


def shown(value):
    if isinstance(value, Typed):
        return {"type": value.letter, "value": shown(value.value)}
    if isinstance(value, dict):
        return {name: shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        return int(value.timestamp())
    if isinstance(value, int) and not isinstance(value, bool):
        # pika's own kind of number has a text of its own.
        return int(value)
    return value


def message(method, properties: BasicProperties, body):
    return {
        "exchange": method.exchange,
        "routing_key": method.routing_key,
        "redelivered": method.redelivered,
        "body": body.hex(),
        # Those that are there.
        "properties": {
            name: getattr(properties, name) for name in PROPERTIES if getattr(properties, name) is not None
        },
        "headers": shown(properties.headers or {}),
    }


def main(url, queue, count):
    # What is behind a `?` has other names here.
    connection = pika.BlockingConnection(pika.URLParameters(url.split("?")[0]))
    channel = connection.channel()
    deadline = time.monotonic() + 30
    messages = []
    for method, properties, body in channel.consume(queue, inactivity_timeout=1):
        if method is not None:
            messages.append(message(method, properties, body))
            channel.basic_ack(method.delivery_tag)
        if len(messages) == int(count):
            break
        if time.monotonic() > deadline:
            sys.exit(f"only {len(messages)} of {count} messages came")
    connection.close()
    print(json.dumps(messages))


main(*sys.argv[1:])
