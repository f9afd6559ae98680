"""Where the broker is, and how a program says what it saw."""

import os
import sys
import uuid

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
TIMEOUT_S = 20


def connect():
    return pika.BlockingConnection(pika.URLParameters(URL))


def unique(name):
    """A name that no earlier run can have left behind."""
    return f"{name}.{uuid.uuid4().hex[:8]}"


def expect(actual, expected, what):
    if actual != expected:
        sys.exit(f"{what}: expected {expected!r}, got {actual!r}")


def take(channel, queue, count, auto_ack=False, ack=True):
    """The next `count` deliveries of a queue, by a consumer that is cancelled afterwards."""
    taken = []
    for method, properties, body in channel.consume(queue, auto_ack=auto_ack, inactivity_timeout=TIMEOUT_S):
        if method is None:
            sys.exit(f"{queue}: {len(taken)} of {count} deliveries within {TIMEOUT_S} s")
        if ack and not auto_ack:
            channel.basic_ack(method.delivery_tag)
        taken.append((method, properties, body))
        if len(taken) == count:
            break
    channel.cancel()
    return taken
