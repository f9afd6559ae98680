"""Work queue: tasks survive their worker, and are dealt out fairly to those that are free."""

import pika
from broker import connect, expect, take, unique

QUEUE = unique("task_queue")
TASKS = [f"task {n}{'.' * (n % 4)}".encode() for n in range(10)]

producer = connect()
channel = producer.channel()
channel.queue_declare(queue=QUEUE, durable=True)
for task in TASKS:
    channel.basic_publish(
        exchange="",
        routing_key=QUEUE,
        body=task,
        properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
    )

# A worker that dies with one task in its hands: prefetch 1, no ack.
dying = connect()
dying_channel = dying.channel()
dying_channel.basic_qos(prefetch_count=1)
method, _, body = next(dying_channel.consume(QUEUE, inactivity_timeout=20))
expect(body, TASKS[0], "the first task")
expect(method.redelivered, False, "redelivered of the first task")
dying.close()

# Two workers share the rest; each has one task at a time.
workers = [connect(), connect()]
hands = []
for worker in workers:
    worker_channel = worker.channel()
    worker_channel.basic_qos(prefetch_count=1)
    hands.append((worker_channel, worker_channel.consume(QUEUE, inactivity_timeout=20)))
done = []
shares = [0, 0]
while len(done) < len(TASKS):
    index = len(done) % 2
    worker_channel, deliveries = hands[index]
    method, _, body = next(deliveries)
    expect(method is None, False, "a worker waits in vain")
    done.append((body, method.redelivered))
    shares[index] += 1
    worker_channel.basic_ack(method.delivery_tag)
expect(sorted(body for body, _ in done), sorted(TASKS), "tasks done")
expect([body for body, redelivered in done if redelivered], [TASKS[0]], "tasks that came again")
expect(shares, [5, 5], "shares of the workers")
for worker in workers:
    worker.close()
channel.queue_delete(QUEUE)
producer.close()
print("10 tasks, one of them twice, shared evenly")
