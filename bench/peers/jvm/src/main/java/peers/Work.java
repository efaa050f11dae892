package peers;

import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import net.openhft.affinity.Affinity;

/** The workloads, as in `src/work`. A failure in a thread ends the process: the other one would wait for it in vain. */
final class Work {
    private static final long WARM_UP = 1 << 16;
    private static final long PACE_WARM_UP = 20_000;
    private static final long REPLAY_PART = 4;
    private static final double RECORDS_PER_SECOND = 100_000;

    private final Peer peer;
    private final Path directory;
    private final long nanoseconds;
    private final long bytes;
    private final int valueBytes;
    private final boolean isChecked;

    Work(Peer peer, Path directory, double seconds, long bytes, int valueBytes, boolean isChecked) {
        this.peer = peer;
        this.directory = directory;
        this.nanoseconds = (long) (seconds * 1e9);
        this.bytes = bytes;
        this.valueBytes = valueBytes;
        this.isChecked = isChecked;
    }

    private interface Body {
        void run() throws Exception;
    }

    /** Each on a processor of its own. */
    private static void threads(Body... bodies) throws InterruptedException {
        Thread[] threads = new Thread[bodies.length];
        for (int at = 0; at < bodies.length; at++) {
            int processor = at;
            threads[at] = new Thread(() -> {
                try {
                    Affinity.setAffinity(processor % Runtime.getRuntime().availableProcessors());
                    bodies[processor].run();
                } catch (Throwable failure) {
                    System.err.println(failure);
                    Runtime.getRuntime().halt(1);
                }
            });
            threads[at].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
    }

    private long records() {
        return bytes / valueBytes;
    }

    private static void fill(Peer.Writer writer, Records records, long from, long to) {
        for (long number = from; number < to; number++) {
            writer.append(records.one(number), records.recordBytes);
        }
    }

    private static void read(Peer.Reader reader, Check check, long records) {
        Peer.Handler handler = check::see;
        while (check.count() < records) {
            if (reader.poll(handler) == 0) {
                Thread.onSpinWait();
            }
        }
        check.end();
    }

    private static String rate(long records, long nanoseconds) {
        return Main.figure("records/s", records * 1e9 / nanoseconds);
    }

    String append() throws Exception {
        peer.open(directory);
        String[] figures = new String[1];
        threads(() -> {
            Peer.Writer writer = peer.writer();
            Records records = new Records(valueBytes);
            long end = records();
            long first = Math.min(WARM_UP, end / 8);
            fill(writer, records, 0, first);
            long next = first;
            long begin = System.nanoTime();
            while (next < end && System.nanoTime() - begin < nanoseconds) {
                fill(writer, records, next, next + 1024);
                next += 1024;
            }
            figures[0] = rate(next - first, System.nanoTime() - begin);
            if (isChecked) {
                try (Peer.Reader reader = peer.reader()) {
                    read(reader, new Check(valueBytes, false), next);
                }
            }
        });
        peer.close();
        return figures[0];
    }

    String send() throws Exception {
        peer.open(directory);
        Histogram latencies = new Histogram();
        threads(() -> {
            Peer.Writer writer = peer.writer();
            Records records = new Records(valueBytes);
            long end = records();
            long next = Math.min(WARM_UP, end / 8);
            fill(writer, records, 0, next);
            long begin = System.nanoTime();
            long before = begin;
            while (next < end && before - begin < nanoseconds) {
                writer.append(records.one(next), records.recordBytes);
                next++;
                long now = System.nanoTime();
                latencies.add(now - before);
                before = now;
            }
        });
        peer.close();
        return latencies.figures();
    }

    String pipe() throws Exception {
        peer.open(directory);
        long most = peer.stores() ? records() : Long.MAX_VALUE;
        long warmUp = Math.min(WARM_UP, records() / 8);
        AtomicLong seen = new AtomicLong();
        AtomicLong end = new AtomicLong(Long.MAX_VALUE);
        long[] times = new long[2];
        threads(() -> {
            Peer.Writer writer = peer.writer();
            Records records = new Records(valueBytes);
            fill(writer, records, 0, warmUp);
            while (seen.getAcquire() < warmUp) {
                Thread.onSpinWait();
            }
            long next = warmUp;
            times[0] = System.nanoTime();
            while (next < most && System.nanoTime() - times[0] < nanoseconds) {
                fill(writer, records, next, next + 1024);
                next += 1024;
            }
            end.setRelease(next);
        }, () -> {
            Check check = new Check(valueBytes, false);
            Peer.Handler handler = check::see;
            try (Peer.Reader reader = peer.reader()) {
                while (check.count() < end.getAcquire()) {
                    if (reader.poll(handler) == 0) {
                        Thread.onSpinWait();
                    } else {
                        seen.setRelease(check.count());
                    }
                }
                times[1] = System.nanoTime();
            }
            check.end();
        });
        peer.close();
        return rate(end.get() - warmUp, times[1] - times[0]);
    }

    String latency() throws Exception {
        peer.open(directory);
        long end = PACE_WARM_UP + (long) (nanoseconds / 1e9 * RECORDS_PER_SECOND);
        AtomicLong seen = new AtomicLong();
        Histogram latencies = new Histogram();
        threads(() -> {
            Peer.Writer writer = peer.writer();
            Records records = new Records(valueBytes);
            fill(writer, records, 0, PACE_WARM_UP);
            while (seen.getAcquire() < PACE_WARM_UP) {
                Thread.onSpinWait();
            }
            long begin = System.nanoTime();
            for (long number = PACE_WARM_UP; number < end; number++) {
                long due = begin + (long) ((number - PACE_WARM_UP) * 1e9 / RECORDS_PER_SECOND);
                while (System.nanoTime() < due) {
                    Thread.onSpinWait();
                }
                writer.append(records.stamped(number, due), records.recordBytes);
            }
        }, () -> {
            Check check = new Check(valueBytes, true);
            Peer.Handler handler = (key, value, length) -> {
                if (check.count() >= PACE_WARM_UP) {
                    latencies.add(System.nanoTime() - Records.MEMORY.getLong(value));
                }
                check.see(key, value, length);
            };
            try (Peer.Reader reader = peer.reader()) {
                while (check.count() < end) {
                    if (reader.poll(handler) == 0) {
                        Thread.onSpinWait();
                    } else {
                        seen.setRelease(check.count());
                    }
                }
            }
            check.end();
        });
        peer.close();
        return latencies.figures();
    }

    String replay() throws Exception {
        long records = records() / REPLAY_PART;
        peer.open(directory);
        threads(() -> fill(peer.writer(), new Records(valueBytes), 0, records));
        peer.close();
        readFiles();
        peer.open(directory);
        String[] figures = new String[1];
        threads(() -> {
            Check check = new Check(valueBytes, false);
            long begin = System.nanoTime();
            try (Peer.Reader reader = peer.reader()) {
                read(reader, check, records);
            }
            figures[0] = rate(records, System.nanoTime() - begin);
        });
        peer.close();
        return figures[0];
    }

    /** So that none of them is read from the disk while it counts. */
    private void readFiles() throws Exception {
        byte[] buffer = new byte[1 << 20];
        try (Stream<Path> all = Files.walk(directory)) {
            List<Path> files = all.filter(Files::isRegularFile).toList();
            for (Path file : files) {
                try (InputStream input = Files.newInputStream(file)) {
                    while (input.read(buffer) > 0) {}
                }
            }
        }
    }
}
