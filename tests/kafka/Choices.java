import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.server.common.MetadataVersion;

/**
 * What Kafka's own classes choose. One answer per line of the input:
 *
 *   key HEX PARTITIONS      the partition that a producer sends a record with this key to
 *   group HEX PARTITIONS    the partition of __consumer_offsets in which a group (UTF-8) is kept
 *   level                   the highest metadata.version that a broker starts with
 */
public class Choices {
    public static void main(String[] args) throws Exception {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var out = new PrintStream(new FileOutputStream(FileDescriptor.out), false);
        for (String line; (line = in.readLine()) != null; ) {
            if (line.equals("level")) {
                out.println(MetadataVersion.latestProduction().featureLevel());
                continue;
            }
            String[] l = line.split(" ");
            byte[] bytes = HexFormat.of().parseHex(l[1]);
            int partitions = Integer.parseInt(l[2]);
            switch (l[0]) {
                case "key" -> out.println(BuiltInPartitioner.partitionForKey(bytes, partitions));
                // GroupCoordinator.partitionFor, which is the same in all versions
                case "group" -> out.println(Utils.abs(new String(bytes, StandardCharsets.UTF_8).hashCode()) % partitions);
                default -> throw new IllegalArgumentException(line);
            }
        }
        out.flush();
    }
}
