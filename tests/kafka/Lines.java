import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;

/**
 * Asks the reader of Kafka's console producer what records it makes of lines. A case is a line of words in hex: the input,
 * then properties NAME=VALUE. The answer is a line in hex: key=value of each record, ~ for null, headers in brackets; a !
 * where a line cannot be cut, and "refused" where the properties are.
 */
public class Lines {
    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split(" ", -1);
            out.println(HexFormat.of().formatHex(answer(words).getBytes(StandardCharsets.UTF_8)));
        }
        out.flush();
    }

    static String word(String hex) {
        return new String(HexFormat.of().parseHex(hex), StandardCharsets.UTF_8);
    }

    static Class<?> reader() throws ClassNotFoundException {
        try {
            return Class.forName("org.apache.kafka.tools.LineMessageReader");
        } catch (ClassNotFoundException older) {
            return Class.forName("kafka.tools.ConsoleProducer$LineMessageReader");
        }
    }

    static String answer(String[] words) throws Exception {
        Properties properties = new Properties();
        for (int at = 1; at < words.length; at++) {
            String[] pair = word(words[at]).split("=", 2);
            properties.put(pair[0], pair[1]);
        }
        properties.put("topic", "t");
        Constructor<?> constructor = reader().getDeclaredConstructor();
        constructor.setAccessible(true);
        Object reader = constructor.newInstance();
        Method configure = reader.getClass().getMethod("configure", java.util.Map.class);
        Method read = reader.getClass().getMethod("readRecords", java.io.InputStream.class);
        configure.setAccessible(true);
        read.setAccessible(true);
        try {
            configure.invoke(reader, properties);
        } catch (java.lang.reflect.InvocationTargetException refused) {
            return "refused";
        }
        byte[] input = HexFormat.of().parseHex(words[0]);
        List<String> found = new ArrayList<>();
        try {
            @SuppressWarnings("unchecked")
            Iterator<ProducerRecord<byte[], byte[]>> records =
                (Iterator<ProducerRecord<byte[], byte[]>>) read.invoke(reader, new ByteArrayInputStream(input));
            while (records.hasNext()) {
                found.add(shown(records.next()));
            }
        } catch (RuntimeException wrong) {
            found.add("!");
        }
        return String.join(" ", found);
    }

    static String text(byte[] bytes) {
        return bytes == null ? "~" : new String(bytes, StandardCharsets.UTF_8);
    }

    static String shown(ProducerRecord<byte[], byte[]> record) {
        List<String> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add(header.key() + ":" + text(header.value()));
        }
        String listed = headers.isEmpty() ? "" : "[" + String.join(",", headers) + "]";
        return text(record.key()) + "=" + text(record.value()) + listed;
    }
}
