"""RPC: requests with reply_to and correlation_id; answers come to the caller's own queue."""

import threading
import uuid

import pika
from broker import connect, expect, unique

REQUESTS = unique("rpc_queue")
CALLS = 8
ready = threading.Event()


def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def serve():
    connection = connect()
    channel = connection.channel()
    channel.queue_declare(queue=REQUESTS, auto_delete=True)
    channel.basic_qos(prefetch_count=1)
    answered = 0

    def on_request(ch, method, properties, body):
        nonlocal answered
        ch.basic_publish(
            exchange="",
            routing_key=properties.reply_to,
            properties=pika.BasicProperties(correlation_id=properties.correlation_id),
            body=str(fibonacci(int(body))),
        )
        ch.basic_ack(delivery_tag=method.delivery_tag)
        answered += 1
        if answered == CALLS:
            ch.stop_consuming()

    channel.basic_consume(queue=REQUESTS, on_message_callback=on_request)
    ready.set()
    connection.call_later(30, channel.stop_consuming)
    channel.start_consuming()
    connection.close()


server = threading.Thread(target=serve, daemon=True)
server.start()
expect(ready.wait(20), True, "the server is ready")

connection = connect()
channel = connection.channel()
replies = channel.queue_declare(queue="", exclusive=True).method.queue
answers = {}


def on_reply(ch, method, properties, body):
    answers[properties.correlation_id] = int(body)


channel.basic_consume(queue=replies, on_message_callback=on_reply, auto_ack=True)
questions = {str(uuid.uuid4()): 5 * n for n in range(CALLS)}
for correlation_id, n in questions.items():
    channel.basic_publish(
        exchange="",
        routing_key=REQUESTS,
        properties=pika.BasicProperties(reply_to=replies, correlation_id=correlation_id),
        body=str(n),
    )
for _ in range(100):
    if len(answers) == CALLS:
        break
    connection.process_data_events(time_limit=0.2)
expect(answers, {key: fibonacci(n) for key, n in questions.items()}, "the answers")
connection.close()
server.join(20)
print(f"{CALLS} calls answered")
