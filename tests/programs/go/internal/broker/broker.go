// Package broker says where the broker is, and how a program says what it saw.
package broker

import (
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Open connects with the client's default settings and opens a channel.
func Open() (*amqp.Connection, *amqp.Channel) {
	url := os.Getenv("AMQP_URL")
	if url == "" {
		url = "amqp://guest:guest@localhost:5672/"
	}
	connection, err := amqp.Dial(url)
	FailOn(err, "cannot connect to "+url)
	channel, err := connection.Channel()
	FailOn(err, "cannot open a channel")
	return connection, channel
}

// FailOn ends the program when there is an error.
func FailOn(err error, what string) {
	if err != nil {
		log.Fatalf("%s: %s", what, err)
	}
}

// Expect ends the program when something is not as it should be.
func Expect[T comparable](actual, expected T, what string) {
	if actual != expected {
		log.Fatalf("%s: expected %v, got %v", what, expected, actual)
	}
}

// Next waits for a delivery.
func Next(deliveries <-chan amqp.Delivery) amqp.Delivery {
	select {
	case delivery, open := <-deliveries:
		if !open {
			log.Fatal("the consumer was ended by the broker")
		}
		return delivery
	case <-time.After(20 * time.Second):
		log.Fatal("no delivery within 20 s")
		panic("unreachable")
	}
}
