package peers;

/** Latencies by the million: 64 buckets for each power of two. */
final class Histogram {
    private final long[] buckets = new long[64 * 60];
    private long count;
    private long max;

    void add(long value) {
        int bucket = (int) Math.max(value, 0);
        if (value >= 64) {
            int power = 63 - Long.numberOfLeadingZeros(value);
            bucket = (power - 5) * 64 + (int) ((value >>> (power - 6)) & 63);
        }
        buckets[bucket]++;
        count++;
        max = Math.max(max, value);
    }

    long percentile(double share) {
        long wanted = Math.max(1, (long) Math.ceil(count * share));
        long passed = 0;
        for (int at = 0; at < buckets.length; at++) {
            passed += buckets[at];
            if (passed >= wanted) {
                return Math.min(middle(at), max);
            }
        }
        return max;
    }

    private static long middle(int bucket) {
        if (bucket < 64) {
            return bucket;
        }
        int power = bucket / 64 + 5;
        long width = 1L << (power - 6);
        return (1L << power) + (bucket & 63) * width + width / 2;
    }

    /** As the session reads them. */
    String figures() {
        return Main.figure("p50 ns", percentile(0.5)) + "," + Main.figure("p99 ns", percentile(0.99)) + ","
                + Main.figure("p99.9 ns", percentile(0.999)) + "," + Main.figure("max ns", max);
    }
}
