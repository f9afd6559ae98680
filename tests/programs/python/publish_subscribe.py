"""Publish/subscribe: a fanout exchange copies a log line to the private queue of each subscriber."""

from broker import connect, expect, take, unique

LOGS = unique("logs")

publisher = connect()
channel = publisher.channel()
channel.exchange_declare(exchange=LOGS, exchange_type="fanout")
channel.basic_publish(exchange=LOGS, routing_key="", body="nobody listens yet")

subscribers = []
for _ in range(3):
    connection = connect()
    subscriber = connection.channel()
    queue = subscriber.queue_declare(queue="", exclusive=True).method.queue
    expect(queue.startswith("amq.gen-"), True, f"the broker names a queue, here {queue}")
    subscriber.queue_bind(exchange=LOGS, queue=queue)
    subscribers.append((connection, subscriber, queue))

lines = [f"info: line {n}".encode() for n in range(5)]
for line in lines:
    channel.basic_publish(exchange=LOGS, routing_key="ignored", body=line)
for connection, subscriber, queue in subscribers:
    got = [body for _, _, body in take(subscriber, queue, len(lines), auto_ack=True)]
    expect(got, lines, f"what {queue} received")
    connection.close()

# The private queues went with their connections, so that the exchange is unused now.
channel.exchange_delete(LOGS, if_unused=True)
publisher.close()
print("3 subscribers received 5 lines each, in order")
