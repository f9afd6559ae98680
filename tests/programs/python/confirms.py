"""Publisher confirms: each publish is confirmed, an unroutable one comes back, and a negative ack requeues."""

import pika
from broker import connect, expect, take, unique

QUEUE = unique("confirmed")
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)

connection = connect()
channel = connection.channel()
channel.queue_declare(queue=QUEUE, durable=True)
channel.confirm_delivery()
bodies = [b"", b"x", b"y" * 131_064, b"z" * 131_065, b"w" * 1_000_000] + [f"{n}".encode() for n in range(95)]
for body in bodies:
    channel.basic_publish(exchange="", routing_key=QUEUE, body=body, properties=PERSISTENT, mandatory=True)
expect(channel.queue_declare(queue=QUEUE, passive=True).method.message_count, len(bodies), "messages in the queue")

try:
    channel.basic_publish(exchange="", routing_key=unique("nowhere"), body=b"lost?", mandatory=True)
    raise SystemExit("an unroutable mandatory message was accepted")
except pika.exceptions.UnroutableError as error:
    expect([m.body for m in error.messages], [b"lost?"], "what came back")
# Without mandatory it is confirmed and dropped.
channel.basic_publish(exchange="", routing_key=unique("nowhere"), body=b"dropped")

try:
    channel.basic_publish(exchange=unique("no_exchange"), routing_key="", body=b"")
    raise SystemExit("a publish to a missing exchange was accepted")
except pika.exceptions.ChannelClosedByBroker as error:
    expect(error.reply_code, 404, "the reply code for a missing exchange")

channel = connection.channel()
deliveries = take(channel, QUEUE, len(bodies), ack=False)
expect([body for _, _, body in deliveries], bodies, "what was delivered, in order")
channel.basic_nack(deliveries[9][0].delivery_tag, multiple=True, requeue=True)
channel.basic_ack(deliveries[-1][0].delivery_tag, multiple=True)
again = take(channel, QUEUE, 10)
expect([(body, m.redelivered) for m, _, body in again], [(b, True) for b in bodies[:10]], "what came again")
expect(channel.queue_declare(queue=QUEUE, passive=True).method.message_count, 0, "messages left")
channel.queue_delete(QUEUE)
connection.close()
print(f"{len(bodies)} publishes confirmed, delivered and settled")
