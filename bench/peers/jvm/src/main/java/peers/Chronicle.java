package peers;

import java.nio.file.Path;
import net.openhft.chronicle.bytes.Bytes;
import net.openhft.chronicle.bytes.PointerBytesStore;
import net.openhft.chronicle.queue.ChronicleQueue;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.queue.ExcerptTailer;
import net.openhft.chronicle.queue.impl.single.SingleChronicleQueueBuilder;
import net.openhft.chronicle.queue.rollcycles.LargeRollCycles;
import net.openhft.chronicle.wire.DocumentContext;

/** Chronicle Queue, open source: an excerpt for each record, zero-copy reads, no checksums, never synced. */
final class Chronicle implements Peer {
    private static final long BLOCK_BYTES = 256L << 20;
    private static final int MAX_POLL_RECORDS = 1024;

    private ChronicleQueue queue;

    @Override
    public void open(Path directory) {
        queue = SingleChronicleQueueBuilder.binary(directory.resolve("queue"))
                .rollCycle(LargeRollCycles.LARGE_DAILY)
                .blockSize(BLOCK_BYTES)
                .build();
    }

    @Override
    public Writer writer() {
        ExcerptAppender appender = queue.createAppender();
        PointerBytesStore record = new PointerBytesStore();
        return (address, length) -> {
            record.set(address, length);
            appender.writeBytes(record);
        };
    }

    @Override
    public Reader reader() {
        ExcerptTailer tailer = queue.createTailer().toStart();
        return handler -> {
            for (int count = 0; count < MAX_POLL_RECORDS; count++) {
                try (DocumentContext document = tailer.readingDocument()) {
                    if (!document.isPresent()) {
                        return count;
                    }
                    Bytes<?> bytes = document.wire().bytes();
                    long key = bytes.addressForRead(bytes.readPosition());
                    int valueLength = (int) bytes.readRemaining() - Records.KEY_BYTES;
                    handler.see(key, key + Records.KEY_BYTES, valueLength);
                }
            }
            return MAX_POLL_RECORDS;
        };
    }

    @Override
    public void close() {
        queue.close();
    }
}
