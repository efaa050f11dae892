import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.*;

/**
 * Fills a running broker with a bit of everything that real clients do.
 *
 *   java -cp ... Fill.java HOST:PORT RUN VERSION [--leave-open]
 *
 * RUN is 1, which makes the topics, or 2, which goes on. VERSION is Kafka's. With --leave-open a transaction is open at the end.
 */
public class Fill {
    static final long T0 = 1_700_000_000_000L;
    static String bootstrap;
    static int run;
    static String version;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        run = Integer.parseInt(args[1]);
        version = args[2];
        boolean leaveOpen = args.length > 3 && args[3].equals("--leave-open");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            if (run == 1) createTopics(admin);
            codecs();
            rolled(admin);
            compacted(admin);
            appendTime();
            transactions();
            groups(admin);
            if (run == 1) admin.deleteTopics(List.of("gone")).all().get();
            if (run == 2) superseded(admin);
            if (run == 2) admin.createPartitions(Map.of("empty", NewPartitions.increaseTo(3))).all().get();
        }
        if (leaveOpen) leaveOpen();
    }

    static void createTopics(Admin admin) throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        topics.add(topic("codecs", 3));
        topics.add(topic("rolled", 1, "segment.ms", "60000", "index.interval.bytes", "200"));
        topics.add(topic("trimmed", 1, "segment.ms", "60000"));
        topics.add(topic("compacted", 1, "cleanup.policy", "compact", "segment.ms", "60000", "min.cleanable.dirty.ratio", "0.01", "delete.retention.ms", "86400000"));
        topics.add(topic("appendtime", 1, "message.timestamp.type", "LogAppendTime", "compression.type", "lz4"));
        topics.add(topic("tx", 2));
        topics.add(topic("read", 2));
        topics.add(topic("empty", 2));
        topics.add(topic("gone", 2));
        // the broker answers before it is ready to lead
        for (int i = 0; ; i++)
            try {
                admin.createTopics(topics).all().get();
                break;
            } catch (ExecutionException e) {
                if (i == 50) throw e;
                Thread.sleep(200);
            }
        try (Producer<byte[], byte[]> p = producer()) {
            for (int i = 0; i < 10; i++) p.send(new ProducerRecord<>("gone", i % 2, T0 + i, bytes("k" + i), bytes("gone " + i))).get();
        }
    }

    static NewTopic topic(String name, int partitions, String... configs) {
        Map<String, String> map = new HashMap<>(Map.of("retention.ms", "-1"));
        for (int i = 0; i < configs.length; i += 2) map.put(configs[i], configs[i + 1]);
        return new NewTopic(name, partitions, (short) 1).configs(map);
    }

    static Producer<byte[], byte[]> producer(String... settings) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("delivery.timeout.ms", "30000");
        p.put("request.timeout.ms", "10000");
        p.put("linger.ms", "20");
        for (int i = 0; i < settings.length; i += 2) p.put(settings[i], settings[i + 1]);
        return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** Every codec, in batches of several and of one, idempotent and not. */
    static void codecs() throws Exception {
        Random random = new Random(run);
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd"))
            for (String idempotent : List.of("true", "false"))
                try (Producer<byte[], byte[]> p = producer("compression.type", codec, "enable.idempotence", idempotent, "acks", "all")) {
                    for (int i = 0; i < 60; i++) {
                        byte[] value = i % 7 == 0 ? null : bytes((codec + " as before ").repeat(i % 11) + i);
                        if (i % 20 == 3) random.nextBytes(value = new byte[20_000 + i]);
                        var r = new ProducerRecord<>("codecs", i % 3, T0 + run * 1000_000L + i, i % 5 == 0 ? null : bytes("key" + i % 13), value);
                        Headers h = r.headers();
                        for (int n = 0; n < i % 4; n++) h.add(n == 2 ? "größe ☃" : "h", n == 1 ? null : bytes("v" + n));
                        p.send(r);
                        if (i % 9 == 0) p.flush();
                    }
                }
    }

    /** Many segments; and the same with records deleted in the middle of one. */
    static void rolled(Admin admin) throws Exception {
        try (Producer<byte[], byte[]> p = producer("linger.ms", "0"))  {
            for (int i = 0; i < 40; i++)
                for (String topic : List.of("rolled", "trimmed")) p.send(new ProducerRecord<>(topic, 0, T0 + (run * 40L + i) * 20_000, bytes("k" + i), bytes("value " + i))).get();
        }
        admin.deleteRecords(Map.of(new TopicPartition("trimmed", 0), RecordsToDelete.beforeOffset(run * 17L))).all().get();
    }

    /** Waits until the cleaner has been there: tombstones, survivors, batches of which little is left. */
    static void compacted(Admin admin) throws Exception {
        TopicPartition tp = new TopicPartition("compacted", 0);
        try (Producer<byte[], byte[]> p = producer("compression.type", run == 1 ? "none" : "zstd")) {
            for (int i = 0; i < 200; i++) {
                byte[] value = i % 23 == 0 ? null : bytes("round " + run + " value " + i);
                p.send(new ProducerRecord<>("compacted", 0, T0 + (run * 200L + i) * 3_000, bytes("key" + i % 17), value));
                if (i % 10 == 9) p.flush();
            }
        }
        long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
        while (count(tp) > 100 * run && System.nanoTime() < end) Thread.sleep(300);
        if (count(tp) > 100 * run) throw new IllegalStateException("not compacted: " + count(tp));
    }

    /**
     * Segments of which the cleaner leaves the front, or nothing. Made in the last run and at its end, so that a broker that is
     * killed has not written a recovery point since.
     */
    static void superseded(Admin admin) throws Exception {
        TopicPartition tp = new TopicPartition("superseded", 0);
        admin.createTopics(List.of(topic("superseded", 1, "cleanup.policy", "compact", "segment.bytes", "1048576", "min.cleanable.dirty.ratio", "0.01"))).all().get();
        int staying = 700, overwritten = 400, records = 3900;
        try (Producer<byte[], byte[]> p = producer("batch.size", "0", "linger.ms", "0")) {
            for (int i = 0; i < records; i++) {
                String key = i < staying ? "stays " + i : "is overwritten " + (i - staying) % overwritten;
                p.send(new ProducerRecord<>("superseded", 0, T0 + i, bytes(key), bytes("value ".repeat(200) + i)));
            }
        }
        long end = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (count(tp) > records / 2 && System.nanoTime() < end) Thread.sleep(200);
        if (count(tp) > records / 2) throw new IllegalStateException("not compacted: " + count(tp));
    }

    static long count(TopicPartition tp) {
        try (KafkaConsumer<byte[], byte[]> c = consumer()) {
            c.assign(List.of(tp));
            c.seekToBeginning(List.of(tp));
            long end = c.endOffsets(List.of(tp)).get(tp), n = 0;
            while (c.position(tp) < end) n += c.poll(Duration.ofMillis(200)).count();
            return n;
        }
    }

    static void appendTime() throws Exception {
        try (Producer<byte[], byte[]> p = producer("compression.type", "gzip")) {
            for (int i = 0; i < 20; i++) p.send(new ProducerRecord<>("appendtime", 0, T0 + i, null, bytes("whose time does not count " + i)));
        }
    }

    @SuppressWarnings({"deprecation", "removal"})
    static ConsumerGroupMetadata standing(String group) { return new ConsumerGroupMetadata(group); }

    /** Two transactional producers and a plain one beside each other; a group's offsets in a transaction. */
    static void transactions() throws Exception {
        try (Producer<byte[], byte[]> a = producer("transactional.id", "tx-a"); Producer<byte[], byte[]> b = producer("transactional.id", "tx-b"); Producer<byte[], byte[]> plain = producer()) {
            a.initTransactions();
            b.initTransactions();
            for (int n = 0; n < 6; n++) {
                a.beginTransaction();
                b.beginTransaction();
                for (int i = 0; i < 4; i++) {
                    a.send(new ProducerRecord<>("tx", i % 2, T0 + n, bytes("a"), bytes("a " + n + " " + i)));
                    b.send(new ProducerRecord<>("tx", 0, T0 + n, bytes("b"), bytes("b " + n + " " + i)));
                    plain.send(new ProducerRecord<>("tx", 1, T0 + n, bytes("p"), bytes("plain " + n + " " + i)));
                    a.flush();
                    b.flush();
                }
                if (n % 3 == 1) a.sendOffsetsToTransaction(Map.of(new TopicPartition("tx", 0), new OffsetAndMetadata(run * 10 + n)), standing("g-tx"));
                if (n % 2 == 0) b.abortTransaction(); else b.commitTransaction();
                if (n % 3 == 2) a.abortTransaction(); else a.commitTransaction();
            }
        }
    }

    /** A transaction that its producer never ends, and committed records behind it. */
    static void leaveOpen() throws Exception {
        Producer<byte[], byte[]> open = producer("transactional.id", "tx-open", "transaction.timeout.ms", "900000");
        open.initTransactions();
        open.beginTransaction();
        open.send(new ProducerRecord<>("tx", 0, T0, bytes("o"), bytes("open"))).get();
        try (Producer<byte[], byte[]> plain = producer()) {
            plain.send(new ProducerRecord<>("tx", 0, T0, bytes("p"), bytes("behind the open one"))).get();
        }
        // Closing would abort it.
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    static KafkaConsumer<byte[], byte[]> consumer(String... settings) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        for (int i = 0; i < settings.length; i += 2) p.put(settings[i], settings[i + 1]);
        return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static void groups(Admin admin) throws Exception {
        try (Producer<byte[], byte[]> p = producer()) {
            for (int i = 0; i < 20; i++) p.send(new ProducerRecord<>("read", i % 2, T0 + i, null, bytes("to be read " + run + " " + i)));
        }
        readWith("g-classic");
        // the new protocol is on by default from 4.0 on
        if (!version.startsWith("3.")) readWith("g-new", "group.protocol", "consumer");
        admin.alterConsumerGroupOffsets("g-simple", Map.of(
            new TopicPartition("read", 0), new OffsetAndMetadata(3 + run, Optional.of(0), "said with it"),
            new TopicPartition("empty", 1), new OffsetAndMetadata(0))).all().get();
    }

    static void readWith(String group, String... settings) {
        List<String> all = new ArrayList<>(List.of("group.id", group));
        all.addAll(List.of(settings));
        try (KafkaConsumer<byte[], byte[]> c = consumer(all.toArray(new String[0]))) {
            c.subscribe(List.of("read"));
            int n = 0;
            for (int i = 0; n < 12 && i < 150; i++) n += c.poll(Duration.ofMillis(200)).count();
            if (n < 12) throw new IllegalStateException(group + " got " + n);
            c.commitSync();
        }
    }

    static byte[] bytes(String s) { return s.getBytes(StandardCharsets.UTF_8); }
}
