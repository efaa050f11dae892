package peers;

import java.lang.reflect.Field;
import sun.misc.Unsafe;

/** The same records as the other peers get: a key of 8 bytes, the number, and a value of a pool, by the number. */
final class Records {
    static final int KEY_BYTES = 8;
    static final Unsafe MEMORY = memory();

    final int count;
    final int recordBytes;
    final int valueBytes;
    private final long pool;

    Records(int valueBytes) {
        this.valueBytes = valueBytes;
        count = valueBytes <= 256 ? 4096 : 1024;
        recordBytes = valueBytes + KEY_BYTES;
        pool = MEMORY.allocateMemory((long) count * recordBytes);
        long random = 0x9E3779B97F4A7C15L ^ valueBytes;
        for (long at = 0; at < (long) count * recordBytes; at++) {
            random ^= random << 13;
            random ^= random >>> 7;
            random ^= random << 17;
            MEMORY.putByte(pool + at, (byte) ((random * 0x2545F4914F6CDD1DL) >>> 56));
        }
    }

    private static Unsafe memory() {
        try {
            Field field = Unsafe.class.getDeclaredField("theUnsafe");
            field.setAccessible(true);
            return (Unsafe) field.get(null);
        } catch (ReflectiveOperationException failure) {
            throw new ExceptionInInitializerError(failure);
        }
    }

    /** The address of a record. */
    long one(long number) {
        long address = pool + (number & (count - 1)) * recordBytes;
        MEMORY.putLong(address, number);
        return address;
    }

    /** As one, with a time in the first 8 bytes of the value. */
    long stamped(long number, long time) {
        long address = one(number);
        MEMORY.putLong(address + KEY_BYTES, time);
        return address;
    }

    static long sum(long address, int length) {
        long sum = 0;
        int at = 0;
        for (; at + 8 <= length; at += 8) {
            sum += MEMORY.getLong(address + at);
        }
        long rest = 0;
        for (int shift = 0; at < length; at++, shift += 8) {
            rest |= (MEMORY.getByte(address + at) & 0xffL) << shift;
        }
        return sum + rest;
    }
}
