// Nack: d.Nack(false, true) requeues, and the message comes back redelivered.
package main

import (
	"context"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"logpond.example/programs/internal/broker"
)

func main() {
	connection, channel := broker.Open()
	defer connection.Close()
	queue, err := channel.QueueDeclare("", false, false, true, false, nil)
	broker.FailOn(err, "cannot declare")
	for _, body := range []string{"first", "second"} {
		err = channel.PublishWithContext(context.Background(), "", queue.Name, false, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
		broker.FailOn(err, "cannot publish")
	}
	broker.FailOn(channel.Qos(1, 0, false), "cannot set the prefetch")
	deliveries, err := channel.Consume(queue.Name, "", false, false, false, false, nil)
	broker.FailOn(err, "cannot consume")

	d := broker.Next(deliveries)
	broker.Expect(string(d.Body), "first", "body")
	broker.Expect(d.Redelivered, false, "redelivered at first")
	broker.FailOn(d.Nack(false, true), "cannot nack")

	d = broker.Next(deliveries)
	broker.Expect(string(d.Body), "first", "body that comes back to its place")
	broker.Expect(d.Redelivered, true, "redelivered after the nack")
	broker.FailOn(d.Ack(false), "cannot acknowledge")

	d = broker.Next(deliveries)
	broker.Expect(string(d.Body), "second", "body behind it")
	broker.Expect(d.Redelivered, false, "redelivered of the other message")
	broker.FailOn(d.Reject(false), "cannot reject")

	state, err := channel.QueueDeclarePassive(queue.Name, false, false, true, false, nil)
	broker.FailOn(err, "cannot inspect")
	broker.Expect(state.Messages, 0, "messages left")
	fmt.Println("a nacked message came back redelivered, to its place")
}
