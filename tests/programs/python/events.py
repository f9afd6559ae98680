"""Events: publish a JSON event to the durable queue `event_queue`, and consume it."""

import json

import pika
from broker import connect, expect

EVENT = {"type": "order.created", "id": 4711, "items": [{"name": "Bürste", "count": 2}], "paid": False}

connection = connect()
channel = connection.channel()
channel.queue_declare(queue="event_queue", durable=True)
channel.basic_publish(
    exchange="",
    routing_key="event_queue",
    body=json.dumps(EVENT),
    properties=pika.BasicProperties(content_type="application/json", delivery_mode=2),
)
connection.close()

connection = connect()
channel = connection.channel()
channel.queue_declare(queue="event_queue", durable=True)
seen = []


def callback(ch, method, properties, body):
    seen.append((json.loads(body), properties.content_type, properties.delivery_mode, method.redelivered))
    ch.basic_ack(delivery_tag=method.delivery_tag)
    ch.stop_consuming()


channel.basic_consume(queue="event_queue", on_message_callback=callback)
connection.call_later(20, channel.stop_consuming)
channel.start_consuming()
expect(seen, [(EVENT, "application/json", 2, False)], "the event")
expect(channel.queue_declare(queue="event_queue", passive=True).method.message_count, 0, "messages left")
channel.queue_delete("event_queue")
connection.close()
print("the event came as it was sent")
