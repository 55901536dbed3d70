"""Retries one message as PHP Swarrot's RetryProcessor does: retry_as_php.py URL QUEUE amqp|amqplib

It takes the message, counts one retry more, and publishes a copy to a waiting queue, from which it comes back. The two
clients of PHP differ in what they make of properties and headers (seen with amqp 1.11 and php-amqplib 3.5):

- amqp: a property that is not there is empty or zero in the copy; a list is left out (by Swarrot); a time stays one.
- amqplib: only what is there is copied; numbers have 32 bits; a time becomes a number; a list is an error.
"""

import datetime
import sys
import time

import pika
from pika.compat import long


def header(client, value):
    if isinstance(value, bool) or isinstance(value, str):
        return value
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=datetime.timezone.utc) if client == "amqp" else int(value.timestamp())
    if isinstance(value, int):
        return long(value) if client == "amqp" else int(value)
    if client == "amqp":
        return None
    sys.exit(f"php-amqplib cannot publish {value!r}")


def main(url, queue, client):
    # What is behind a `?` has other names here.
    connection = pika.BlockingConnection(pika.URLParameters(url.split("?")[0]))
    channel = connection.channel()
    channel.confirm_delivery()
    waiting = f"{queue}_retry_1"
    back = {"x-message-ttl": 200, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
    channel.queue_declare(waiting, durable=True, arguments={**back, "x-expires": 60000})

    for _ in range(100):
        method, properties, body = channel.basic_get(queue)
        if method is not None:
            break
        time.sleep(0.1)
    else:
        sys.exit("no message came")
    headers = {name: header(client, value) for name, value in properties.headers.items()}
    headers = {name: value for name, value in headers.items() if value is not None}
    count = headers.get("swarrot_retry_attempts", 0) + 1
    headers["swarrot_retry_attempts"] = long(count) if client == "amqp" else int(count)
    copy = pika.BasicProperties(headers=headers, message_id=properties.message_id, delivery_mode=2)
    if client == "amqp":
        copy.timestamp, copy.priority, copy.content_type = 0, 0, "text/plain"
    channel.basic_publish("", waiting, body, copy, mandatory=True)
    channel.basic_ack(method.delivery_tag)
    connection.close()


main(*sys.argv[1:])
