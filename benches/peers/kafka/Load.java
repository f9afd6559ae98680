// Loads a Kafka broker: the client half of the rows that cargo xtask bench-broker measures with Kafka.
// How it is called and what it prints is agreed in crates/testkit/src/bench/tool.rs.
//
// Messages go to one topic with one partition; each waits for the broker's acknowledgement (acks=all) as one of so many in
// flight, and bodies, keys and headers vary from message to message. A consumer commits its offset every hundred messages.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Load {
    private static final String TOPIC = "bench";
    private static final TopicPartition PARTITION = new TopicPartition(TOPIC, 0);
    private static final int KEYS = 1000;
    private static final int BODIES = 64;
    private static final int ACK_EVERY = 100;
    private static final long QUIET_MAX_NS = 60_000_000_000L;

    private final String address;
    private final int bodyLen;
    private final int inFlight;
    private final long count;
    private final long lengthNs;
    private final long rate;

    private Load(Map<String, String> options) {
        address = options.getOrDefault("--address", "127.0.0.1:9092");
        bodyLen = Integer.parseInt(options.getOrDefault("--body-len", "16"));
        inFlight = Integer.parseInt(options.getOrDefault("--in-flight", "1000"));
        count = Long.parseLong(options.getOrDefault("--count", "1000000000000"));
        lengthNs = Long.parseLong(options.getOrDefault("--milliseconds", "5000")) * 1_000_000;
        rate = Long.parseLong(options.getOrDefault("--rate", "0"));
    }

    public static void main(String[] words) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at + 1 < words.length; at += 2) {
            options.put(words[at], words[at + 1]);
        }
        Load load = new Load(options);
        load.createTopic();
        switch (words.length == 0 ? "" : words[0]) {
            case "publish" -> load.publish();
            case "drain" -> load.drain();
            case "both" -> load.both();
            default -> throw new IllegalArgumentException("publish, drain or both?");
        }
    }

    private record Published(long messages, long elapsedNs, Samples confirm) {}

    private record Drained(long messages, long elapsedNs, Samples endToEnd) {}

    private void publish() throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer()) {
            // What the client has to learn first is no part of a publish.
            producer.partitionsFor(TOPIC);
            System.out.println("begin");
            Published published = send(producer);
            print(published.messages, published.elapsedNs, published.confirm, null);
        }
    }

    private void drain() {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            consumer.assign(List.of(PARTITION));
            consumer.seekToBeginning(List.of(PARTITION));
            consumer.position(PARTITION);
            System.out.println("begin");
            Drained drained = receive(consumer, new AtomicLong(count));
            print(drained.messages, drained.elapsedNs, null, null);
        }
    }

    private void both() throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer();
                KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            consumer.assign(List.of(PARTITION));
            consumer.seekToEnd(List.of(PARTITION));
            consumer.position(PARTITION);
            producer.partitionsFor(TOPIC);
            AtomicLong wanted = new AtomicLong(Long.MAX_VALUE);
            System.out.println("begin");
            CompletableFuture<Drained> draining = CompletableFuture.supplyAsync(() -> receive(consumer, wanted));
            Published published = null;
            try {
                published = send(producer);
            } finally {
                wanted.set(published == null ? 0 : published.messages);
            }
            Drained drained = draining.get();
            long elapsed = Math.max(published.elapsedNs, drained.elapsedNs);
            print(drained.messages, elapsed, published.confirm, drained.endToEnd);
        }
    }

    private Published send(KafkaProducer<byte[], byte[]> producer) throws Exception {
        byte[][] bodies = new byte[BODIES][bodyLen];
        Random random = new Random(1);
        Arrays.stream(bodies).forEach(random::nextBytes);
        Semaphore window = new Semaphore(inFlight);
        Samples confirm = new Samples();
        AtomicReference<Exception> failed = new AtomicReference<>();
        long start = System.nanoTime();
        long sent = 0;
        while (sent < count && failed.get() == null) {
            long at = System.nanoTime();
            if (at - start >= lengthNs) {
                break;
            }
            if (rate > 0) {
                long due = start + (long) (sent * 1e9 / rate);
                while (System.nanoTime() < due) {
                    java.util.concurrent.locks.LockSupport.parkNanos(due - System.nanoTime());
                }
                at = due;
            }
            window.acquire();
            if (rate == 0) {
                at = System.nanoTime();
            }
            byte[] body = bodies[(int) (sent % BODIES)].clone();
            ByteBuffer.wrap(body).putLong(at);
            byte[] key = ("order." + sent % KEYS).getBytes(StandardCharsets.US_ASCII);
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(TOPIC, 0, key, body);
            if (sent % 4 == 3) {
                record.headers().add("tenant", ("tenant-" + sent % 97).getBytes(StandardCharsets.US_ASCII));
            }
            long sentAt = at;
            producer.send(record, (metadata, error) -> {
                // The client calls back on one thread.
                confirm.add(System.nanoTime() - sentAt);
                if (error != null) {
                    failed.compareAndSet(null, error);
                }
                window.release();
            });
            sent++;
        }
        window.acquire(inFlight);
        long elapsed = System.nanoTime() - start;
        if (failed.get() != null) {
            throw new ExecutionException(failed.get());
        }
        return new Published(sent, elapsed, confirm);
    }

    private Drained receive(KafkaConsumer<byte[], byte[]> consumer, AtomicLong wanted) {
        Samples endToEnd = new Samples();
        long start = System.nanoTime();
        long last = start;
        long got = 0;
        while (got < wanted.get()) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                last = System.nanoTime();
                endToEnd.add(last - ByteBuffer.wrap(record.value()).getLong());
                got++;
                if (got % ACK_EVERY == 0) {
                    OffsetAndMetadata next = new OffsetAndMetadata(record.offset() + 1);
                    consumer.commitAsync(Map.of(PARTITION, next), null);
                }
            }
            if (System.nanoTime() - last > QUIET_MAX_NS) {
                throw new IllegalStateException(got + " of " + wanted.get() + " messages came");
            }
        }
        consumer.commitSync();
        return new Drained(got, System.nanoTime() - start, endToEnd);
    }

    private void createTopic() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            admin.createTopics(List.of(new NewTopic(TOPIC, 1, (short) 1))).all().get();
        } catch (ExecutionException error) {
            if (!(error.getCause() instanceof TopicExistsException)) {
                throw error;
            }
        }
    }

    private KafkaProducer<byte[], byte[]> producer() {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", address, "acks", "all", "linger.ms", "0", "buffer.memory", "268435456",
                // Each batch costs the broker a sync: not the default of 16 KiB, which a few messages fill.
                "batch.size", "524288");
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private KafkaConsumer<byte[], byte[]> consumer() {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", address, "group.id", "bench", "enable.auto.commit", "false");
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static void print(long messages, long elapsedNs, Samples confirm, Samples endToEnd) {
        List<String> latencies = new ArrayList<>();
        if (confirm != null) {
            latencies.add("\"confirm\":" + confirm.json());
        }
        if (endToEnd != null) {
            latencies.add("\"end to end\":" + endToEnd.json());
        }
        System.out.printf(
                "{\"messages\":%d,\"elapsed_us\":%d,\"latencies\":{%s}}%n",
                messages, elapsedNs / 1000, String.join(",", latencies));
    }

    /** Durations in nanoseconds, used by one thread at a time. */
    private static final class Samples {
        private long[] values = new long[1 << 16];
        private int length;

        void add(long value) {
            if (length == values.length) {
                values = Arrays.copyOf(values, 2 * length);
            }
            values[length++] = value;
        }

        String json() {
            if (length == 0) {
                return "{\"p50_ns\":0,\"p99_ns\":0,\"max_ns\":0}";
            }
            Arrays.sort(values, 0, length);
            int last = length - 1;
            long p99 = values[(int) (last * 99L / 100)];
            return "{\"p50_ns\":" + values[last / 2] + ",\"p99_ns\":" + p99 + ",\"max_ns\":" + values[last] + "}";
        }
    }
}
