package peers;

import io.aeron.ExclusivePublication;
import io.aeron.Subscription;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import io.aeron.logbuffer.BufferClaim;
import io.aeron.logbuffer.FragmentHandler;
import java.nio.file.Path;
import org.agrona.concurrent.BackoffIdleStrategy;

/** Aeron IPC: terms of 64 MiB in shared memory, with an exclusive publication and a driver in the process. Stores nothing. */
final class Aeron implements Peer {
    private static final String CHANNEL = "aeron:ipc?term-length=64m";
    private static final int STREAM = 1001;
    private static final int MAX_POLL_RECORDS = 256;

    private MediaDriver driver;
    private io.aeron.Aeron client;

    @Override
    public boolean stores() {
        return false;
    }

    @Override
    public void open(Path directory) {
        driver = MediaDriver.launchEmbedded(new MediaDriver.Context()
                .aeronDirectoryName("/dev/shm/stratalog-peers-" + ProcessHandle.current().pid())
                .dirDeleteOnStart(true)
                .dirDeleteOnShutdown(true)
                .threadingMode(ThreadingMode.SHARED)
                .sharedIdleStrategy(new BackoffIdleStrategy(1, 1, 1000, 1_000_000))
                .termBufferSparseFile(false));
        client = io.aeron.Aeron.connect(
                new io.aeron.Aeron.Context().aeronDirectoryName(driver.aeronDirectoryName()));
    }

    @Override
    public Writer writer() {
        ExclusivePublication publication = client.addExclusivePublication(CHANNEL, STREAM);
        BufferClaim claim = new BufferClaim();
        return (address, length) -> {
            long position;
            while ((position = publication.tryClaim(length, claim)) < 0) {
                if (position == ExclusivePublication.CLOSED
                        || position == ExclusivePublication.MAX_POSITION_EXCEEDED) {
                    throw new IllegalStateException("the publication has ended: " + position);
                }
                Thread.onSpinWait();
            }
            long to = claim.buffer().addressOffset() + claim.offset();
            Records.MEMORY.copyMemory(address, to, length);
            claim.commit();
        };
    }

    @Override
    public Reader reader() {
        Subscription subscription = client.addSubscription(CHANNEL, STREAM);
        return new Reader() {
            private Handler handler;
            private final FragmentHandler fragments = (buffer, offset, length, header) -> {
                long key = buffer.addressOffset() + offset;
                handler.see(key, key + Records.KEY_BYTES, length - Records.KEY_BYTES);
            };

            @Override
            public int poll(Handler handler) {
                this.handler = handler;
                return subscription.poll(fragments, MAX_POLL_RECORDS);
            }

            @Override
            public void close() {
                subscription.close();
            }
        };
    }

    @Override
    public void close() {
        client.close();
        driver.close();
    }
}
