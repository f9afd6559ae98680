// Persistent: publish with DeliveryMode Persistent to a durable queue, consume with manual acknowledgement.
package main

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"logpond.example/programs/internal/broker"
)

const count = 50

func main() {
	connection, channel := broker.Open()
	name := fmt.Sprintf("go.task_queue.%d", time.Now().UnixNano())
	queue, err := channel.QueueDeclare(name, true, false, false, false, nil)
	broker.FailOn(err, "cannot declare")
	broker.FailOn(channel.Confirm(false), "cannot select confirms")
	for n := 0; n < count; n++ {
		confirm, err := channel.PublishWithDeferredConfirmWithContext(context.Background(), "", queue.Name, true, false,
			amqp.Publishing{
				DeliveryMode: amqp.Persistent,
				ContentType:  "text/plain",
				Headers:      amqp.Table{"n": int32(n), "nested": amqp.Table{"at": time.Unix(1700000000, 0)}},
				Body:         []byte(fmt.Sprintf("task %d", n)),
			})
		broker.FailOn(err, "cannot publish")
		if n == count-1 {
			broker.Expect(confirm.Wait(), true, "confirmed")
		}
	}

	broker.FailOn(channel.Qos(7, 0, false), "cannot set the prefetch")
	deliveries, err := channel.Consume(queue.Name, "", false, false, false, false, nil)
	broker.FailOn(err, "cannot consume")
	for n := 0; n < count; n++ {
		d := broker.Next(deliveries)
		broker.Expect(string(d.Body), fmt.Sprintf("task %d", n), "body")
		broker.Expect(d.DeliveryMode, amqp.Persistent, "delivery mode")
		broker.Expect(d.Headers["n"].(int32), int32(n), "header n")
		broker.Expect(d.Headers["nested"].(amqp.Table)["at"].(time.Time).Unix(), 1700000000, "nested header")
		broker.FailOn(d.Ack(false), "cannot acknowledge")
	}
	broker.FailOn(connection.Close(), "cannot close")

	connection, channel = broker.Open()
	left, err := channel.QueueDelete(queue.Name, false, false, false)
	broker.FailOn(err, "cannot delete")
	broker.Expect(left, 0, "messages left after all were acknowledged")
	broker.FailOn(connection.Close(), "cannot close")
	fmt.Printf("%d persistent messages published, confirmed, acknowledged\n", count)
}
