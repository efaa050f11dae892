package peers;

import java.nio.file.Path;

/** What the workloads need of a peer. A process has one, so that its calls are compiled for it alone. */
interface Peer {
    interface Writer {
        /** A record outside of the heap: key, then value. */
        void append(long address, int length);
    }

    interface Handler {
        /** The addresses of a record's key and value, outside of the heap. */
        void see(long key, long value, int valueLength);
    }

    interface Reader extends AutoCloseable {
        /** Calls for the records that are there, and returns how many were. */
        int poll(Handler handler);

        @Override
        default void close() {}
    }

    void open(Path directory);

    /** For the thread that calls. */
    Writer writer();

    /** From the first record on; for the thread that calls. */
    Reader reader();

    void close();

    /** In memory: a pipe may continue without filling the disk. */
    default boolean stores() {
        return true;
    }
}
