"""Topics: patterns with * for one word and # for any number of words."""

from broker import connect, expect, take, unique

LOGS = unique("topic_logs")
PATTERNS = {
    "#": lambda words: True,
    "kern.*": lambda words: len(words) == 2 and words[0] == "kern",
    "*.critical": lambda words: len(words) == 2 and words[1] == "critical",
    "*.orange.*": lambda words: len(words) == 3 and words[1] == "orange",
    "lazy.#": lambda words: words[0] == "lazy",
    "#.end": lambda words: words[-1] == "end",
}
KEYS = [
    "kern.critical", "kern.info", "cron.critical", "quick.orange.rabbit", "lazy.orange.elephant", "lazy",
    "lazy.pink.male.rabbit", "orange", "quick.orange.male.rabbit", "kern", "the.very.end", "end", "kern.a.b",
]

connection = connect()
channel = connection.channel()
channel.exchange_declare(exchange=LOGS, exchange_type="topic")
queues = {}
for pattern in PATTERNS:
    queues[pattern] = channel.queue_declare(queue="", exclusive=True).method.queue
    channel.queue_bind(exchange=LOGS, queue=queues[pattern], routing_key=pattern)
for key in KEYS:
    channel.basic_publish(exchange=LOGS, routing_key=key, body=key)

for pattern, matches in PATTERNS.items():
    expected = [key for key in KEYS if matches(key.split("."))]
    got = [body.decode() for _, _, body in take(channel, queues[pattern], len(expected))]
    expect(got, expected, f"what {pattern} received")
    left = channel.queue_declare(queue=queues[pattern], passive=True).method.message_count
    expect(left, 0, f"messages left for {pattern}")
channel.exchange_delete(LOGS)
connection.close()
print(f"{len(KEYS)} keys against {len(PATTERNS)} patterns")
