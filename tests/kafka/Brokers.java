import java.io.*;
import java.net.ServerSocket;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.utils.Time;

/**
 * Starts a broker on each directory of the input, one after the other in this process, and prints what it serves; run by
 * kafka-compute. A line of the input: a directory, then the groups that are asked for, with tabs between them.
 * Lines of the output, with tabs between words, bytes in hex or null, "end" after each directory:
 *
 *   topic NAME ID PARTITIONS | partition NAME PARTITION START END | record NAME PARTITION OFFSET KEY VALUE
 *   committed GROUP NAME PARTITION OFFSET | failed REASON
 *
 * Retention, compaction and expiry are held back. The directory is changed as a broker changes it.
 */
public class Brokers {
    static final long PATIENCE = TimeUnit.SECONDS.toNanos(40);
    static PrintStream out;

    public static void main(String[] args) throws Exception {
        out = new PrintStream(new FileOutputStream(FileDescriptor.out), false);
        // What Kafka prints is no answer.
        System.setOut(System.err);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split("\t");
            Thread watch = endUnlessDone();
            try {
                serve(words[0], Arrays.asList(words).subList(1, words.length));
            } catch (Throwable t) {
                t.printStackTrace();
                say("failed", String.valueOf(t).replaceAll("\\s", " "));
            }
            watch.interrupt();
            say("end");
            out.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    /** A broker that neither serves nor stops ends this process. */
    static Thread endUnlessDone() {
        Thread watch = new Thread(() -> {
            try {
                Thread.sleep(TimeUnit.NANOSECONDS.toMillis(PATIENCE) * 2);
                for (var stack : Thread.getAllStackTraces().entrySet()) System.err.println(stack.getKey() + " " + Arrays.toString(stack.getValue()));
                Runtime.getRuntime().halt(1);
            } catch (InterruptedException e) {
                // It is done.
            }
        });
        watch.setDaemon(true);
        watch.start();
        return watch;
    }

    static void say(Object... words) {
        out.println(Arrays.stream(words).map(String::valueOf).collect(Collectors.joining("\t")));
    }

    static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, java.net.InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    static Properties settings(String directory, int port) throws IOException {
        Properties meta = new Properties();
        try (var in = Files.newInputStream(Path.of(directory, "meta.properties"))) {
            meta.load(in);
        }
        int controller = freePort();
        String node = meta.getProperty("node.id");
        Properties p = new Properties();
        p.put("process.roles", "broker,controller");
        p.put("node.id", node);
        p.put("listeners", "PLAINTEXT://127.0.0.1:" + port + ",CONTROLLER://127.0.0.1:" + controller);
        p.put("advertised.listeners", "PLAINTEXT://127.0.0.1:" + port);
        p.put("controller.listener.names", "CONTROLLER");
        p.put("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT");
        p.put("controller.quorum.voters", node + "@127.0.0.1:" + controller);
        p.put("log.dirs", directory);
        for (String one : List.of("offsets.topic.replication.factor", "transaction.state.log.replication.factor",
            "transaction.state.log.min.isr", "num.network.threads", "num.recovery.threads.per.data.dir")) p.put(one, "1");
        p.put("num.io.threads", "2");
        p.put("background.threads", "2");
        p.put("log.cleaner.enable", "false");
        p.put("auto.create.topics.enable", "false");
        p.put("group.initial.rebalance.delay.ms", "0");
        p.put("controlled.shutdown.enable", "false");
        p.put("log.retention.ms", "-1");
        p.put("log.initial.task.delay.ms", "86400000");
        p.put("offsets.retention.minutes", "2147483647");
        p.put("transaction.abort.timed.out.transaction.cleanup.interval.ms", "86400000");
        return p;
    }

    static void serve(String directory, List<String> groups) throws Exception {
        int port = freePort();
        // What Kafka measures it would otherwise register twice.
        var server = new kafka.server.KafkaRaftServer(
            kafka.server.KafkaConfig.fromProps(settings(directory, port), false), Time.SYSTEM);
        try {
            server.startup();
            Properties p = new Properties();
            p.put("bootstrap.servers", "127.0.0.1:" + port);
            p.put("request.timeout.ms", "10000");
            p.put("default.api.timeout.ms", "30000");
            try (Admin admin = Admin.create(p)) {
                print(admin, p, groups);
            }
        } finally {
            server.shutdown();
            server.awaitShutdown();
        }
    }

    static void print(Admin admin, Properties p, List<String> groups) throws Exception {
        SortedMap<String, TopicDescription> topics = topics(admin);
        List<TopicPartition> partitions = new ArrayList<>();
        for (TopicDescription topic : topics.values()) {
            say("topic", topic.name(), topic.topicId(), topic.partitions().size());
            if (!topic.isInternal())
                topic.partitions().forEach(one -> partitions.add(new TopicPartition(topic.name(), one.partition())));
        }
        var first = offsets(admin, partitions, OffsetSpec.earliest());
        var last = offsets(admin, partitions, OffsetSpec.latest());
        for (TopicPartition at : partitions) say("partition", at.topic(), at.partition(), first.get(at), last.get(at));
        records(p, partitions, first, last);
        // Asked without the topic, a broker would make it.
        if (!topics.containsKey("__consumer_offsets")) return;
        for (String group : groups) {
            var committed = patiently(() -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get());
            committed.forEach((at, position) -> {
                if (position != null) say("committed", group, at.topic(), at.partition(), position.offset());
            });
        }
    }

    /** Partitions get their leaders, and coordinators load, some time after the start. */
    static <T> T patiently(Callable<T> ask) throws Exception {
        long until = System.nanoTime() + PATIENCE;
        while (true) {
            try {
                return ask.call();
            } catch (ExecutionException | IllegalStateException e) {
                if (System.nanoTime() > until) throw e;
                Thread.sleep(30);
            }
        }
    }

    static SortedMap<String, TopicDescription> topics(Admin admin) throws Exception {
        return patiently(() -> {
            Set<String> names = admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get();
            var topics = new TreeMap<>(admin.describeTopics(names).allTopicNames().get());
            topics.values().forEach(topic -> topic.partitions().forEach(one -> {
                if (one.leader() == null || one.leader().isEmpty())
                    throw new IllegalStateException("no leader for " + topic.name() + "-" + one.partition());
            }));
            return topics;
        });
    }

    static Map<TopicPartition, Long> offsets(Admin admin, List<TopicPartition> of, OffsetSpec spec) throws Exception {
        Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
        of.forEach(at -> asked.put(at, spec));
        Map<TopicPartition, Long> offsets = new HashMap<>();
        patiently(() -> admin.listOffsets(asked).all().get()).forEach((at, found) -> offsets.put(at, found.offset()));
        return offsets;
    }

    static void records(Properties p, List<TopicPartition> partitions, Map<TopicPartition, Long> first, Map<TopicPartition, Long> last) {
        Properties own = new Properties();
        own.putAll(p);
        own.put("enable.auto.commit", "false");
        own.put("fetch.max.wait.ms", "20");
        List<TopicPartition> filled = partitions.stream().filter(at -> first.get(at) < last.get(at)).collect(Collectors.toList());
        if (filled.isEmpty()) return;
        long until = System.nanoTime() + PATIENCE;
        try (var consumer = new KafkaConsumer<>(own, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(filled);
            consumer.seekToBeginning(filled);
            while (filled.stream().anyMatch(at -> consumer.position(at) < last.get(at))) {
                for (var record : consumer.poll(Duration.ofMillis(50)))
                    say("record", record.topic(), record.partition(), record.offset(), hex(record.key()), hex(record.value()));
                if (System.nanoTime() > until) throw new IllegalStateException("records are not read to the end");
            }
        }
    }

    static String hex(byte[] bytes) {
        return bytes == null ? "null" : HexFormat.of().formatHex(bytes);
    }
}
