package peers;

/** Sees that all records come, in their order, with the bytes that they went with. */
final class Check {
    private final long[] firsts;
    private final long[] sums;
    private final int valueBytes;
    private final boolean isStamped;
    private long next;
    private long wrong = -1;

    /** isStamped: values begin with a time, which is not compared. */
    Check(int valueBytes, boolean isStamped) {
        Records records = new Records(valueBytes);
        this.valueBytes = valueBytes;
        this.isStamped = isStamped;
        firsts = new long[records.count];
        sums = new long[records.count];
        for (int at = 0; at < records.count; at++) {
            long value = records.one(at) + Records.KEY_BYTES;
            firsts[at] = Records.MEMORY.getLong(value);
            sums[at] = Records.sum(value + 8, valueBytes - 8);
        }
    }

    /** How many have come. */
    long count() {
        return next;
    }

    void see(long key, long value, int length) {
        int at = (int) next & (sums.length - 1);
        boolean isRight = length == valueBytes
                && Records.MEMORY.getLong(key) == next
                && Records.sum(value + 8, length - 8) == sums[at]
                && (isStamped || Records.MEMORY.getLong(value) == firsts[at]);
        if (!isRight && wrong < 0) {
            wrong = next;
        }
        next++;
    }

    void end() {
        if (wrong >= 0) {
            throw new IllegalStateException("record " + wrong + " came back another");
        }
    }
}
