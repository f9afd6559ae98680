"""Routing: a direct exchange sends each log line to the queues that asked for its severity."""

from broker import connect, expect, take, unique

LOGS = unique("direct_logs")
connection = connect()
channel = connection.channel()
channel.exchange_declare(exchange=LOGS, exchange_type="direct")

wanted = {"errors": ["error"], "all": ["info", "warning", "error"]}
queues = {}
for name, severities in wanted.items():
    queues[name] = channel.queue_declare(queue="", exclusive=True).method.queue
    for severity in severities:
        channel.queue_bind(exchange=LOGS, queue=queues[name], routing_key=severity)

sent = [("info", b"started"), ("error", b"no disk"), ("debug", b"noise"), ("warning", b"hot"), ("error", b"fire")]
for severity, line in sent:
    channel.basic_publish(exchange=LOGS, routing_key=severity, body=line)

for name, severities in wanted.items():
    expected = [(severity, line) for severity, line in sent if severity in severities]
    got = [(method.routing_key, body) for method, _, body in take(channel, queues[name], len(expected))]
    expect(got, expected, f"what {name} received")

channel.queue_unbind(queue=queues["all"], exchange=LOGS, routing_key="info")
channel.basic_publish(exchange=LOGS, routing_key="info", body=b"unwanted")
channel.basic_publish(exchange=LOGS, routing_key="warning", body=b"wanted")
expect(take(channel, queues["all"], 1)[0][2], b"wanted", "after unbinding info")
channel.exchange_delete(LOGS)
connection.close()
print("each severity went where it was bound")
