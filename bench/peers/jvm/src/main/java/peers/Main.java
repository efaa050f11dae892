package peers;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Locale;
import java.util.stream.Stream;

/** One peer in one workload, once: PEER WORKLOAD DIRECTORY SECONDS MIB IS_CHECKED. Prints the figures as JSON. */
public final class Main {
    /** Runs before the measured one, each half as long, in which the JVM compiles. */
    private static final int WARM_UPS = 2;

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[2]);
        double seconds = Double.parseDouble(arguments[3]);
        long bytes = Long.parseLong(arguments[4]) << 20;
        String[] workload = arguments[1].split("-");
        int valueBytes = workload.length > 1 ? Integer.parseInt(workload[1]) : 100;
        String figures = "";
        for (int warmUp = WARM_UPS; warmUp >= 0; warmUp--) {
            Peer peer = peer(arguments[0]);
            Path fresh = Files.createDirectory(directory.resolve("run-" + warmUp));
            boolean isChecked = warmUp == 0 && Boolean.parseBoolean(arguments[5]);
            long divisor = warmUp == 0 ? 1 : 2;
            Work work = new Work(peer, fresh, seconds / divisor, bytes / divisor, valueBytes, isChecked);
            figures = switch (workload[0]) {
                case "append" -> work.append();
                case "send" -> work.send();
                case "pipe" -> work.pipe();
                case "latency" -> work.latency();
                case "replay" -> work.replay();
                default -> throw new IllegalArgumentException(arguments[1]);
            };
            remove(fresh);
        }
        System.out.println("[" + figures + "]");
        // Threads of a peer may still be there.
        System.exit(0);
    }

    private static Peer peer(String name) {
        return switch (name) {
            case "Aeron IPC" -> new Aeron();
            case "Chronicle Queue" -> new Chronicle();
            default -> throw new IllegalArgumentException(name);
        };
    }

    static String figure(String name, double value) {
        return String.format(Locale.ROOT, "{\"name\":\"%s\",\"value\":%f}", name, value);
    }

    private static void remove(Path directory) throws Exception {
        try (Stream<Path> all = Files.walk(directory)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
