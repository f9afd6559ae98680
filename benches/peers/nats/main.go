// Loads a NATS JetStream server: the client half of the rows that cargo xtask bench-broker measures with NATS.
// How it is called and what it prints is agreed in crates/testkit/src/bench/tool.rs.
//
// Messages go to one stream in files, each publish waits for the server's acknowledgement as one of so many in flight, and
// bodies, subjects and headers vary from message to message. A consumer acknowledges all up to every hundredth message.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamName = "bench"
	keys       = 1000
	bodies     = 64
	ackEvery   = 100
	prefetch   = 1000
	// A server refuses what is more than 128 MiB behind its disk, with error 10167.
	inFlightBytesMax = 96 << 20
	quietMax         = 60 * time.Second
)

type load struct {
	bodyLen  int
	inFlight int
	count    int
	length   time.Duration
	rate     int
}

type latency struct {
	P50 int64 `json:"p50_ns"`
	P99 int64 `json:"p99_ns"`
	Max int64 `json:"max_ns"`
}

type figures struct {
	Messages  int                `json:"messages"`
	ElapsedUs int64              `json:"elapsed_us"`
	Latencies map[string]latency `json:"latencies"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("publish, drain or both?")
	}
	var l load
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	address := flags.String("address", "127.0.0.1:4222", "the server")
	flags.IntVar(&l.bodyLen, "body-len", 16, "bytes of a body, at least 8")
	flags.IntVar(&l.inFlight, "in-flight", 1000, "publishes that wait for their acknowledgement")
	flags.IntVar(&l.count, "count", 1<<40, "messages at most; for drain: all of them")
	milliseconds := flags.Int("milliseconds", 5000, "how long to publish")
	flags.IntVar(&l.rate, "rate", 0, "messages per second, 0 for as many as go")
	if err := flags.Parse(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
	l.inFlight = min(l.inFlight, max(1, inFlightBytesMax/l.bodyLen))
	l.length = time.Duration(*milliseconds) * time.Millisecond
	told, err := run(os.Args[1], *address, l)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		log.Fatal(err)
	}
}

func run(mode, address string, l load) (figures, error) {
	connection, err := nats.Connect("nats://" + address)
	if err != nil {
		return figures{}, err
	}
	defer connection.Close()
	js, err := jetstream.New(connection, jetstream.WithPublishAsyncMaxPending(l.inFlight))
	if err != nil {
		return figures{}, err
	}
	ctx := context.Background()
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"order.>"},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
	})
	if err != nil {
		return figures{}, err
	}
	switch mode {
	case "publish":
		fmt.Println("begin")
		return publish(js, l)
	case "drain":
		consumer, err := consumer(ctx, stream, jetstream.DeliverAllPolicy)
		if err != nil {
			return figures{}, err
		}
		fmt.Println("begin")
		wanted := make(chan int, 1)
		wanted <- l.count
		drained, err := drain(consumer, wanted)
		drained.Latencies = map[string]latency{} // the bodies carry the time of another process
		return drained, err
	case "both":
		consumer, err := consumer(ctx, stream, jetstream.DeliverNewPolicy)
		if err != nil {
			return figures{}, err
		}
		fmt.Println("begin")
		return both(js, consumer, l)
	}
	return figures{}, fmt.Errorf("no mode %q", mode)
}

func consumer(ctx context.Context, stream jetstream.Stream, from jetstream.DeliverPolicy) (jetstream.Consumer, error) {
	return stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: fmt.Sprintf("bench%d", from), DeliverPolicy: from,
		AckPolicy: jetstream.AckAllPolicy, MaxAckPending: prefetch, AckWait: time.Minute,
	})
}

// When a message was sent or due, in nanoseconds since this process began; 0 is never.
var origin = time.Now()

func now() int64 { return int64(time.Since(origin)) + 1 }

func publish(js jetstream.JetStream, l load) (figures, error) {
	random := rand.New(rand.NewSource(1))
	variants := make([][]byte, bodies)
	for i := range variants {
		variants[i] = make([]byte, l.bodyLen)
		random.Read(variants[i])
	}
	window := make(chan wait, l.inFlight)
	settled := make(chan settlement, 1)
	go settle(window, settled)
	start := now()
	deadline := start + int64(l.length)
	sent := 0
	var failed error
	for ; sent < l.count; sent++ {
		at := now()
		if at >= deadline {
			break
		}
		if l.rate > 0 {
			due := start + int64(float64(sent)*1e9/float64(l.rate))
			time.Sleep(time.Duration(due - at))
			at = due
		}
		body := slices.Clone(variants[sent%bodies])
		binary.BigEndian.PutUint64(body, uint64(at))
		message := &nats.Msg{Subject: fmt.Sprintf("order.0.%d", sent%keys), Data: body}
		if sent%4 == 3 {
			message.Header = nats.Header{"tenant": []string{fmt.Sprintf("tenant-%d", sent%97)}}
		}
		future, err := js.PublishMsgAsync(message, jetstream.WithStallWait(quietMax))
		if err != nil {
			failed = err
			break
		}
		window <- wait{future, at}
	}
	close(window)
	result := <-settled
	if err := errors.Join(failed, result.err); err != nil {
		return figures{}, err
	}
	elapsed := time.Duration(now() - start)
	return figures{sent, elapsed.Microseconds(), map[string]latency{"confirm": of(result.nanoseconds)}}, nil
}

type wait struct {
	future jetstream.PubAckFuture
	at     int64
}

type settlement struct {
	nanoseconds []int64
	err         error
}

// Acknowledgements of one stream come in the order of the publishes.
func settle(window <-chan wait, settled chan<- settlement) {
	var result settlement
	for w := range window {
		select {
		case <-w.future.Ok():
			result.nanoseconds = append(result.nanoseconds, now()-w.at)
		case err := <-w.future.Err():
			result.err = errors.Join(result.err, err)
		case <-time.After(quietMax):
			result.err = errors.New("an acknowledgement did not come")
		}
		if result.err != nil {
			break
		}
	}
	for range window {
	}
	settled <- result
}

func drain(consumer jetstream.Consumer, wanted <-chan int) (figures, error) {
	start := now()
	messages, err := consumer.Messages(jetstream.PullMaxMessages(prefetch))
	if err != nil {
		return figures{}, err
	}
	defer messages.Stop()
	goal, got := -1, 0
	var nanoseconds []int64
	for goal < 0 || got < goal {
		message, err := messages.Next(jetstream.NextMaxWait(100 * time.Millisecond))
		if errors.Is(err, nats.ErrTimeout) {
			message, err = nil, nil
		}
		if err != nil {
			return figures{}, err
		}
		if message != nil {
			got++
			nanoseconds = append(nanoseconds, now()-int64(binary.BigEndian.Uint64(message.Data())))
		}
		select {
		case goal = <-wanted:
		default:
		}
		if message != nil && (got%ackEvery == 0 || got == goal) {
			if err := message.Ack(); err != nil {
				return figures{}, err
			}
		}
		if now()-start > int64(20*quietMax) {
			return figures{}, fmt.Errorf("%d of %d messages came", got, goal)
		}
	}
	elapsed := time.Duration(now() - start)
	return figures{got, elapsed.Microseconds(), map[string]latency{"end to end": of(nanoseconds)}}, nil
}

func both(js jetstream.JetStream, consumer jetstream.Consumer, l load) (figures, error) {
	type outcome struct {
		figures figures
		err     error
	}
	wanted := make(chan int, 1)
	drained := make(chan outcome, 1)
	go func() {
		f, err := drain(consumer, wanted)
		drained <- outcome{f, err}
	}()
	published, err := publish(js, l)
	wanted <- published.Messages
	got := <-drained
	if err := errors.Join(err, got.err); err != nil {
		return figures{}, err
	}
	got.figures.ElapsedUs = max(got.figures.ElapsedUs, published.ElapsedUs)
	got.figures.Latencies["confirm"] = published.Latencies["confirm"]
	return got.figures, nil
}

func of(nanoseconds []int64) latency {
	if len(nanoseconds) == 0 {
		return latency{}
	}
	slices.Sort(nanoseconds)
	last := len(nanoseconds) - 1
	return latency{nanoseconds[last/2], nanoseconds[last*99/100], nanoseconds[last]}
}
