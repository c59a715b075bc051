# The same as merge.sh beside it, which hands over to this where Python is installed.
import errno, fcntl, json, os, stat, sys, time

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

def say(**facts):
    sys.stdout.write(json.dumps(facts, sort_keys=True, separators=(",", ":")) + "\n")
    sys.stdout.flush()

def fail(error, detail=""):
    say(error=error, detail=str(detail)[:300].encode("ascii", "backslashreplace").decode())
    sys.exit(0)

part, directory, flush = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), sys.argv[3] == "1"

def is_current():
    try:
        return all(
            os.path.samestat(os.lstat(name), os.fstat(opened)) for name, opened in ((part, target), (directory, home))
        )
    except OSError as error:
        if error.errno in GONE:
            return False
        raise

# Opens a file, and nothing that only bears its name: a pipe would be waited for.
def open_file(name, flags, **options):
    try:
        opened = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, **options)
        if stat.S_ISREG(os.fstat(opened).st_mode):
            return opened
        os.close(opened)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
    raise FileNotFoundError(errno.ENOENT, "not a file", name)

# The lock only saves work: who cannot have it for any other reason than that it is held goes on without.
def take_lock():
    deadline = time.monotonic() + 10
    try:
        lock = open_file("lock", os.O_RDWR | os.O_CREAT, dir_fd=home)
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    fail("busy")
                time.sleep(0.1)
    except OSError:
        return

# A record is {"next":3,"size":12582912}; any other says nothing.
def read_record():
    try:
        with open(open_file("record", os.O_RDONLY, dir_fd=home), "rb") as file:
            text = file.read(4097)
        record = json.loads(text.decode("ascii"))
        numbers = record["next"], record["size"]
        if len(text) <= 4096 and all(type(number) is int and 0 <= number < 10**18 for number in numbers):
            return numbers
    except Exception:
        pass
    return 0, 0

def write_record(record):
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        try:
            new = open_file("record.new", flags, dir_fd=home)
        except FileNotFoundError:
            os.unlink("record.new", dir_fd=home)
            new = open_file("record.new", flags, dir_fd=home)
        with open(new, "w") as file:
            file.write(json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n")
        os.rename("record.new", "record", src_dir_fd=home, dst_dir_fd=home)
    except FileNotFoundError:
        # Another script has put the same there, unless the directory is gone.
        if not is_current():
            raise

def place(offset, size, name):
    source = open_file(name, os.O_RDONLY, dir_fd=home)
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

def is_number(word):
    return word.isdigit() and len(word) <= 18 and (word == b"0" or word[:1] != b"0")

def follow(line):
    words = line.split()
    if len(words) != 6 or words[0] != b"part" or set(words[4]) - set(b"0123456789abcdef-"):
        fail("request")
    if not all(is_number(word) for word in words[1:4] + words[5:]):
        fail("request")
    if not is_current():
        fail("lost", "the part file is gone, or another")
    index, offset, length, end = (int(word) for word in words[1:4] + words[5:])
    place(offset, length, words[4].decode("ascii"))
    record = {"next": index + 1, "size": end}
    write_record(record)
    say(**record)

try:
    home = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    target = open_file(part, os.O_WRONLY)
    take_lock()
    if not is_current():
        fail("lost", "another part file has taken its place")
    begun, size = read_record()
    say(length=os.fstat(target).st_size, next=begun, size=size)
    for line in sys.stdin.buffer:
        follow(line)
except OSError as error:
    kinds = {errno.ENOSPC: "full", errno.EDQUOT: "quota"}
    fail("lost" if error.errno in GONE else kinds.get(error.errno, "write"), error)
except Exception as error:
    fail("write", repr(error))
