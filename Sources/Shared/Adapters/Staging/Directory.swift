// Directories and files by descriptor. Every name is looked up in an open directory and no symbolic link is followed,
// so that a directory swapped by somebody else cannot lead out of staging.

internal import Core
internal import Glibc

/// One open descriptor, closed when nobody has it any more.
final class Descriptor: Sendable {
    let number: Int32

    init(owning number: Int32) { self.number = number }

    deinit { Glibc.close(number) }
}

/// Calls again when a signal came in between.
@inline(__always)
func uninterrupted<Value: SignedInteger>(_ call: () -> Value) -> Value {
    while true {
        let value = call()
        if value != -1 || errno != EINTR { return value }
    }
}

extension StagingError {
    /// The failure of a system call on a relative name; a full disk is told apart.
    static func system(_ action: String, _ name: String, _ code: Int32 = errno) -> StagingError {
        if code == ENOSPC || code == EDQUOT { return .full }
        var buffer = [CChar](repeating: 0, count: 128)
        let isKnown = strerror_r(code, &buffer, buffer.count) == 0
        let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return .failed("\(action) \(name): \(isKnown ? text : "error \(code)")")
    }
}

/// What moving or linking a name did.
enum MoveResult: Hashable, Sendable {
    case moved
    /// Something is at the new name.
    case taken
    /// Nothing is at the old name, or a directory is gone.
    case missing
}

/// What is known of an entry without following it.
struct EntryFacts: Hashable, Sendable {
    var device: UInt64
    var inode: UInt64
    var isDirectory: Bool
    var size: Int64
    /// When its content changed.
    var modified: Timestamp
    /// When its content, name or place changed.
    var changed: Timestamp

    init(_ status: stat) {
        func time(_ value: timespec) -> Timestamp {
            Timestamp(microseconds: Int64(value.tv_sec) * 1_000_000 + Int64(value.tv_nsec) / 1_000)
        }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        isDirectory = status.st_mode & S_IFMT == S_IFDIR
        size = Int64(status.st_size)
        modified = time(status.st_mtim)
        changed = time(status.st_ctim)
    }

    func isSame(as other: EntryFacts) -> Bool { device == other.device && inode == other.inode }
}

/// An open directory.
struct Directory: Sendable {
    let descriptor: Descriptor
    /// Its path from the staging directory, for messages only.
    let label: String

    /// Opens the staging directory itself, where the operator's own symbolic links count; makes it if only its last
    /// component is missing.
    init(root path: String) throws(StagingError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw .system("make", "the staging directory") }
        let number = uninterrupted { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard number >= 0 else { throw .system("open", "the staging directory") }
        descriptor = Descriptor(owning: number)
        label = ""
    }

    private init(_ descriptor: Descriptor, label: String) {
        self.descriptor = descriptor
        self.label = label
    }

    func path(_ name: EntryName) -> String { label.isEmpty ? name.description : label + "/" + name.description }

    // MARK: Directories

    /// Opens a directory in this one; nil when there is none. A symbolic link is an error.
    func open(_ name: EntryName) throws(StagingError) -> Directory? {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        let number = uninterrupted { openat(descriptor.number, name.description, flags) }
        if number < 0 {
            if errno == ENOENT { return nil }
            throw .system("open", path(name))
        }
        return Directory(Descriptor(owning: number), label: path(name))
    }

    /// Makes a directory; false when something has the name.
    @discardableResult
    func make(_ name: EntryName) throws(StagingError) -> Bool {
        if mkdirat(descriptor.number, name.description, 0o700) == 0 { return true }
        if errno == EEXIST { return false }
        throw .system("make", path(name))
    }

    /// Makes a directory if need be, and opens it.
    func openOrMake(_ name: EntryName) throws(StagingError) -> Directory {
        try make(name)
        guard let directory = try open(name) else { throw .system("open", path(name), ENOENT) }
        return directory
    }

    /// The names in it, in no order.
    func entries() throws(StagingError) -> [EntryName] {
        // A description of its own: readers of a shared one would move each other's position.
        let number = uninterrupted { openat(descriptor.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard number >= 0 else { throw .system("list", label) }
        guard let stream = fdopendir(number) else {
            let code = errno
            Glibc.close(number)
            throw .system("list", label, code)
        }
        defer { closedir(stream) }
        var names: [EntryName] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw .system("list", label) }
                return names
            }
            let text = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if let name = EntryName(listed: text) { names.append(name) }
        }
    }

    /// Makes what happened to the names in it durable.
    func sync() throws(StagingError) {
        guard uninterrupted({ fsync(descriptor.number) }) == 0 else {
            throw .system("fsync", label.isEmpty ? "the staging directory" : label)
        }
    }

    // MARK: Entries

    /// What is at a name, without following it; nil for nothing.
    func facts(of name: EntryName) throws(StagingError) -> EntryFacts? {
        var status = stat()
        if fstatat(descriptor.number, name.description, &status, AT_SYMLINK_NOFOLLOW) == 0 { return EntryFacts(status) }
        if errno == ENOENT { return nil }
        throw .system("stat", path(name))
    }

    /// What this directory itself is.
    func facts() throws(StagingError) -> EntryFacts {
        var status = stat()
        guard fstat(descriptor.number, &status) == 0 else { throw .system("stat", label) }
        return EntryFacts(status)
    }

    /// Moves an entry. A directory never replaces one that has something in it (rename(2): ENOTEMPTY or EEXIST).
    func move(_ name: EntryName, to other: Directory, as newName: EntryName) throws(StagingError) -> MoveResult {
        if renameat(descriptor.number, name.description, other.descriptor.number, newName.description) == 0 {
            return .moved
        }
        switch errno {
        case ENOTEMPTY, EEXIST: return .taken
        case ENOENT: return .missing
        default: throw .system("rename \(path(name)) to", other.path(newName))
        }
    }

    /// Gives a file a second name, unless that is taken.
    func link(_ name: EntryName, to other: Directory, as newName: EntryName) throws(StagingError) -> MoveResult {
        if linkat(descriptor.number, name.description, other.descriptor.number, newName.description, 0) == 0 {
            return .moved
        }
        switch errno {
        case EEXIST: return .taken
        case ENOENT: return .missing
        default: throw .system("link \(path(name)) to", other.path(newName))
        }
    }

    /// Removes a file; false when there is none.
    @discardableResult
    func unlink(_ name: EntryName) throws(StagingError) -> Bool {
        if unlinkat(descriptor.number, name.description, 0) == 0 { return true }
        if errno == ENOENT { return false }
        throw .system("unlink", path(name))
    }

    /// Removes a directory; false when it is not empty. One that is gone is removed.
    @discardableResult
    func removeDirectory(_ name: EntryName) throws(StagingError) -> Bool {
        if unlinkat(descriptor.number, name.description, AT_REMOVEDIR) == 0 || errno == ENOENT { return true }
        if errno == ENOTEMPTY || errno == EEXIST { return false }
        throw .system("remove", path(name))
    }

    // MARK: Files

    /// Makes a file that was not there.
    func makeFile(_ name: EntryName) throws(StagingError) -> Descriptor {
        let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let number = uninterrupted { openat(descriptor.number, name.description, flags, 0o600) }
        guard number >= 0 else { throw .system("make", path(name)) }
        return Descriptor(owning: number)
    }

    /// Opens a file for reading; nil when there is none. A symbolic link is an error.
    func openFile(_ name: EntryName) throws(StagingError) -> Descriptor? {
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        let number = uninterrupted { openat(descriptor.number, name.description, flags) }
        if number < 0 {
            if errno == ENOENT { return nil }
            throw .system("open", path(name))
        }
        return Descriptor(owning: number)
    }

    /// Makes a small file with all of its content, durable if asked for; its name is not yet.
    func writeFile(_ name: EntryName, _ content: [UInt8], sync: Bool) throws(StagingError) {
        let file = try makeFile(name)
        let outcome: Result<Void, StagingError> = content.withUnsafeBytes { bytes in
            Result { () throws(StagingError) in try file.write(bytes, at: 0, path(name)) }
        }
        try outcome.get()
        if sync { try file.sync(path(name)) }
    }

    /// Reads a small file; nil when there is none. More than a MiB is none that Ferry wrote.
    func readFile(_ name: EntryName) throws(StagingError) -> [UInt8]? {
        guard let file = try openFile(name) else { return nil }
        let limit = 1 << 20
        guard try file.facts(path(name)).size <= limit else { throw .unreadable("\(path(name)) is over 1 MiB") }
        var content: [UInt8] = []
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 8)
        defer { memory.deallocate() }
        while true {
            let count = try file.read(into: memory, at: Int64(content.count), path(name))
            content += memory[..<count]
            if count < memory.count { return content }
            guard content.count <= limit else { throw .unreadable("\(path(name)) is over 1 MiB") }
        }
    }
}

extension Descriptor {
    /// Writes all bytes at a position.
    func write(_ bytes: UnsafeRawBufferPointer, at position: Int64, _ path: @autoclosure () -> String)
        throws(StagingError)
    {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = uninterrupted { pwrite(number, rest.baseAddress, rest.count, off_t(position) + off_t(done)) }
            guard count > 0 else { throw .system("write", path(), count == 0 ? EIO : errno) }
            done += count
        }
    }

    /// Reads until the memory is full or the file ends; answers how many bytes.
    func read(
        into bytes: UnsafeMutableRawBufferPointer,
        at position: Int64,
        _ path: @autoclosure () -> String
    ) throws(StagingError) -> Int {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
            let count = uninterrupted { pread(number, rest.baseAddress, rest.count, off_t(position) + off_t(done)) }
            guard count >= 0 else { throw .system("read", path()) }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Makes its content durable.
    func sync(_ path: @autoclosure () -> String) throws(StagingError) {
        guard uninterrupted({ fsync(number) }) == 0 else { throw .system("fsync", path()) }
    }

    /// What the open file is.
    func facts(_ path: @autoclosure () -> String) throws(StagingError) -> EntryFacts {
        var status = stat()
        guard fstat(number, &status) == 0 else { throw .system("stat", path()) }
        return EntryFacts(status)
    }
}
