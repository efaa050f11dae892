#!/usr/bin/env python3
"""sync_while_shut_down.py ext4|xfs HOW ROUNDS: what fdatasync says when the file system is shut down meanwhile. As root.

Nothing of stratalog. Four processes write blocks into files of their own, whose space is allocated, and call fdatasync after each.
The file system, in a file on a loop device, is shut down under them (HOW: 1 writes the journal first, 2 does not) and mounted again.
A writer is counted if a block is missing for which its fdatasync had returned 0.
"""
import fcntl, mmap, os, random, struct, subprocess, sys, tempfile, time

WRITERS, BLOCK, GOING_DOWN = 4, 4096, 0x8004587D
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-m", "reflink=0"],
}


def mount(image, at):
    subprocess.check_call(["mount", "-o", "loop", image, at])


def write(path, acknowledge):
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(file, 0, 32 << 20)
    os.fsync(file)
    os.fsync(os.open(os.path.dirname(path), os.O_RDONLY))
    try:
        for number in range(1, 8000):
            os.pwrite(file, struct.pack("<Q", number) * (BLOCK // 8), (number - 1) * BLOCK)
            os.fdatasync(file)
            acknowledge(number)
    except OSError:
        pass


def is_complete(path, acknowledged):
    with open(path, "rb") as file:
        blocks = file.read(acknowledged * BLOCK)
    found = [blocks[at : at + 8] for at in range(0, len(blocks), BLOCK)]
    return found == [struct.pack("<Q", number) for number in range(1, acknowledged + 1)]


def main():
    system, how, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    lost = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        image, at = directory + "/image", directory + "/mounted"
        os.mkdir(at)
        for _ in range(rounds):
            with open(image, "wb") as file:
                file.truncate(400 << 20)
            subprocess.check_call(MAKE[system] + [image])
            mount(image, at)
            acknowledged = mmap.mmap(-1, 8 * WRITERS)
            paths = [f"{at}/{writer}" for writer in range(WRITERS)]
            processes = []
            for writer, path in enumerate(paths):
                process = os.fork()
                if process == 0:
                    write(path, lambda number: struct.pack_into("<Q", acknowledged, 8 * writer, number))
                    os._exit(0)
                processes.append(process)
            time.sleep(0.15 + 0.3 * random.random())
            root = os.open(at, os.O_RDONLY)
            fcntl.ioctl(root, GOING_DOWN, struct.pack("<I", how))
            os.close(root)
            for process in processes:
                os.waitpid(process, 0)
            subprocess.check_call(["umount", at])
            mount(image, at)
            said = struct.unpack(f"<{WRITERS}Q", acknowledged)
            lost += sum(not is_complete(path, number) for path, number in zip(paths, said) if number > 0)
            subprocess.check_call(["umount", at])
    print(f"{system}, shut down by {how}: of {rounds * WRITERS} writers {lost} miss what was said to be synced")


main()
