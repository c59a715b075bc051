# The same as merge.sh beside it, which hands over to this where Python is installed.
import errno, fcntl, json, os, sys, time

def say(**facts):
    sys.stdout.write(json.dumps(facts, sort_keys=True, separators=(",", ":")) + "\n")
    sys.stdout.flush()

def fail(error, detail=""):
    say(error=error, detail=str(detail))
    sys.exit(0)

part, directory, flush = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), sys.argv[3] == "1"

def is_current():
    try:
        return all(
            os.path.samestat(os.lstat(name), os.fstat(opened)) for name, opened in ((part, target), (directory, home))
        )
    except FileNotFoundError:
        return False

def take_lock():
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=home)
    deadline = time.monotonic() + 10
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                fail("busy")
            time.sleep(0.1)

def read_record():
    try:
        with open(os.open("record", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=home), "rb") as file:
            record = json.loads(file.read(4096))
            return int(record["next"]), int(record["size"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0

def write_record(record):
    new = os.open("record.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=home)
    with open(new, "w") as file:
        file.write(json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n")
    os.rename("record.new", "record", src_dir_fd=home, dst_dir_fd=home)

def place(offset, size, name):
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=home)
    try:
        found = os.fstat(source).st_size
        if found != size:
            fail("lost", "%s has %d bytes instead of %d" % (name, found, size))
        position = 0
        while position < size:
            try:
                count = os.copy_file_range(source, target, size - position, position, offset + position)
            except (AttributeError, OSError) as error:
                if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                    raise
                data = os.pread(source, 4 << 20, position)
                count = os.pwrite(target, data, offset + position) if data else 0
            if count == 0:
                fail("lost", name + " is shorter than it was")
            position += count
        if flush:
            os.fsync(target)
    finally:
        os.close(source)

try:
    home = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    target = os.open(part, os.O_WRONLY | os.O_NOFOLLOW)
    take_lock()
    if not is_current():
        fail("lost")
    begun, size = read_record()
    say(length=os.fstat(target).st_size, next=begun, size=size)
    for line in sys.stdin.buffer:
        words = line.decode("ascii").split()
        if len(words) != 6 or words[0] != "part" or set(words[4]) - set("0123456789abcdef-"):
            fail("request")
        if not is_current():
            fail("lost")
        index, offset, length, end = int(words[1]), int(words[2]), int(words[3]), int(words[5])
        place(offset, length, words[4])
        record = {"next": index + 1, "size": end}
        write_record(record)
        say(**record)
except FileNotFoundError as error:
    fail("lost", error)
except OSError as error:
    fail({errno.ENOSPC: "full", errno.EDQUOT: "quota"}.get(error.errno, "write"), error)
