"""Dead letters: retries by a queue that nobody consumes, the history that a message brings, and a full queue that passes on."""

import pika
from broker import connect, expect, take, unique

WORK, WAIT, FAILED = unique("work"), unique("wait"), unique("failed")
ATTEMPTS = 3

connection = connect()
channel = connection.channel()


def dying(to, **arguments):
    named = {"x-" + name.replace("_", "-"): value for name, value in arguments.items()}
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": to, **named}


channel.queue_declare(queue=FAILED, durable=True)
channel.queue_declare(queue=WORK, durable=True, arguments=dying(WAIT))
channel.queue_declare(queue=WAIT, durable=True, arguments=dying(WORK, message_ttl=50))
channel.confirm_delivery()

channel.basic_publish(
    exchange="",
    routing_key=WORK,
    properties=pika.BasicProperties(delivery_mode=2, expiration="60000", message_id="job"),
    body=b"job",
)
for attempt in range(ATTEMPTS):
    method, properties, body = take(channel, WORK, 1, ack=False)[0]
    deaths = (properties.headers or {}).get("x-death", [])
    counts = {(death["queue"], death["reason"]): death["count"] for death in deaths}
    expected = {(WAIT, "expired"): attempt, (WORK, "rejected"): attempt} if attempt else {}
    expect((body, properties.message_id, counts), (b"job", "job", expected), f"attempt {attempt}")
    channel.basic_reject(method.delivery_tag, requeue=False)

method, properties, _ = take(channel, WORK, 1)[0]
newest, first = properties.headers["x-death"]
expect((newest["queue"], newest["reason"], newest["count"]), (WAIT, "expired", ATTEMPTS), "the newest death")
expect((first["exchange"], first["routing-keys"]), ("", [WORK]), "where it was published to")
expect(first["original-expiration"], "60000", "the life that it had")
expect(properties.expiration, None, "an expiration that was used up")
expect(properties.headers["x-first-death-queue"], WORK, "where it died first")

full = unique("full")
arguments = dying(FAILED, max_length=1, overflow="reject-publish-dlx")
channel.queue_declare(queue=full, durable=True, arguments=arguments)
channel.basic_publish(exchange="", routing_key=full, body=b"fits")
try:
    channel.basic_publish(exchange="", routing_key=full, body=b"does not")
    outcome = "confirmed"
except pika.exceptions.NackError:
    outcome = "nacked"
expect(outcome, "nacked", "a publish that a full queue passes on")
method, properties, body = take(channel, FAILED, 1)[0]
expect((body, properties.headers["x-death"][0]["reason"]), (b"does not", "maxlen"), "what was passed on")

for queue in (WORK, WAIT, FAILED, full):
    channel.queue_delete(queue)
connection.close()
print(f"{ATTEMPTS} retries by dead letters, and a full queue that passed on")
