"""RPC without a queue for the answers: direct reply-to, a server that answers, and one that finds the caller gone."""

import pika
from broker import connect, expect, take, unique

REPLY_TO = "amq.rabbitmq.reply-to"
REQUESTS = unique("direct_rpc")

caller, server = connect(), connect()
asking, answering = caller.channel(), server.channel()
answering.queue_declare(queue=REQUESTS, auto_delete=True)

answers = []


def on_reply(ch, method, properties, body):
    answers.append((properties.correlation_id, body))


tag = asking.basic_consume(queue=REPLY_TO, on_message_callback=on_reply, auto_ack=True)
for n in range(3):
    properties = pika.BasicProperties(reply_to=REPLY_TO, correlation_id=str(n))
    asking.basic_publish(exchange="", routing_key=REQUESTS, properties=properties, body=b"%d" % n)

requests = take(answering, REQUESTS, 3)
reply_to = requests[0][1].reply_to
expect(reply_to.startswith(REPLY_TO + "."), True, "a name of the caller's own")
for _, properties, body in requests:
    answering.basic_publish(
        exchange="",
        routing_key=properties.reply_to,
        properties=pika.BasicProperties(correlation_id=properties.correlation_id),
        body=body * 2,
    )
for _ in range(100):
    if len(answers) == 3:
        break
    caller.process_data_events(time_limit=0.2)
expect(answers, [("0", b"00"), ("1", b"11"), ("2", b"22")], "the answers")

# A server that may take long asks whether somebody still waits.
answering.queue_declare(queue=reply_to, passive=True)
asking.basic_cancel(tag)
try:
    answering.queue_declare(queue=reply_to, passive=True)
    outcome = "declared"
except pika.exceptions.ChannelClosedByBroker as closed:
    outcome = closed.reply_code
expect(outcome, 404, "the name of a caller that went")

caller.close()
server.close()
print("3 calls answered without a queue for the answers")
