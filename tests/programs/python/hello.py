"""Hello: one program sends `Hello World!` to the queue `hello`, another receives it."""

from broker import connect, expect


def send():
    connection = connect()
    channel = connection.channel()
    channel.queue_declare(queue="hello")
    channel.basic_publish(exchange="", routing_key="hello", body="Hello World!")
    connection.close()


def receive():
    connection = connect()
    channel = connection.channel()
    channel.queue_declare(queue="hello")
    received = []

    def callback(ch, method, properties, body):
        received.append(body)
        ch.stop_consuming()

    channel.basic_consume(queue="hello", auto_ack=True, on_message_callback=callback)
    connection.call_later(20, channel.stop_consuming)
    channel.start_consuming()
    channel.queue_delete("hello")
    connection.close()
    return received


send()
expect(receive(), [b"Hello World!"], "what came out of hello")
print("received Hello World!")
