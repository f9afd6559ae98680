// Hello: declare `hello`, publish text/plain, consume with automatic acknowledgement.
package main

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"logpond.example/programs/internal/broker"
)

func main() {
	connection, channel := broker.Open()
	defer connection.Close()
	queue, err := channel.QueueDeclare("hello", false, false, false, false, nil)
	broker.FailOn(err, "cannot declare hello")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = channel.PublishWithContext(ctx, "", queue.Name, false, false, amqp.Publishing{
		ContentType: "text/plain",
		Body:        []byte("Hello World!"),
	})
	broker.FailOn(err, "cannot publish")

	deliveries, err := channel.Consume(queue.Name, "", true, false, false, false, nil)
	broker.FailOn(err, "cannot consume")
	delivery := broker.Next(deliveries)
	broker.Expect(string(delivery.Body), "Hello World!", "body")
	broker.Expect(delivery.ContentType, "text/plain", "content type")
	broker.Expect(delivery.Redelivered, false, "redelivered")
	_, err = channel.QueueDelete(queue.Name, false, false, false)
	broker.FailOn(err, "cannot delete hello")
	fmt.Println("received Hello World!")
}
