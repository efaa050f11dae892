import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.*;

/**
 * Writes a topic for each codec, of small JSON records, with a producer that has Kafka's own defaults.
 *
 *   java -cp ... Large.java HOST:PORT MIB_OF_VALUES CODEC...
 */
public class Large {
    public static void main(String[] args) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            for (String codec : Arrays.asList(args).subList(2, args.length)) {
                for (int i = 0; ; i++)
                    try {
                        admin.createTopics(List.of(new NewTopic("bench-" + codec, 1, (short) 1).configs(Map.of("retention.ms", "-1")))).all().get();
                        break;
                    } catch (ExecutionException e) {
                        if (i == 50) throw e;
                        Thread.sleep(200);
                    }
                fill(args[0], codec, Long.parseLong(args[1]) << 20);
            }
        }
    }

    static void fill(String bootstrap, String codec, long bytes) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("compression.type", codec);
        String[] places = {"paid", "open", "sent", "returned"};
        long state = 88_172_645_463_325_252L, written = 0;
        try (Producer<byte[], byte[]> producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (long n = 0; written < bytes; n++) {
                state ^= state << 13;
                state ^= state >>> 7;
                state ^= state << 17;
                String value = String.format("{\"order\":%d,\"customer\":\"c-%05d\",\"state\":\"%s\",\"amount\":%d}", n,
                    Long.remainderUnsigned(state, 20_000), places[(int) (state >>> 40) & 3], Long.remainderUnsigned(state >>> 20, 100_000));
                producer.send(new ProducerRecord<>("bench-" + codec, 0, null, value.getBytes(StandardCharsets.UTF_8)));
                written += value.length();
            }
        }
    }
}
