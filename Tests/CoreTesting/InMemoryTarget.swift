// A target in memory: files, part files and renames, with faults that can be planted.

public import Core
internal import Synchronization

/// A target machine that can be looked into. Files live in one flat map from path to content; part files beside them.
public final class InMemoryTarget: TargetSession {
    /// The operations in which faults can be planted.
    public enum Operation: Hashable, Sendable, CaseIterable {
        /// `facts`, of either kind
        case facts
        /// `prepare`
        case prepare
        /// `ship`
        case ship
        /// A step of `assemble`: a file is begun, or a part is put in its place
        case assemble
        /// A step of `assemble`: how far it came is recorded
        case record
        /// `prove`
        case prove
        /// `seal`
        case seal
        /// A sealed part file's `settle`
        case sync
        /// `rename`
        case rename
        /// `digest`
        case digest
        /// `settle` of a final file
        case syncFinal
        /// `remove`
        case remove
        /// `removePartFiles`
        case removePartFiles
        /// `inspect`
        case inspect
    }

    /// A file on the target.
    public struct File: Hashable, Sendable {
        /// Its bytes.
        public var bytes: [UInt8]
        /// Seconds since 1970.
        public var modified: Int64
        /// Its mode; nil before it is sealed, and for strangers' files.
        public var mode: FileMode?

        /// A file.
        public init(bytes: [UInt8], modified: Int64 = 0) {
            self.bytes = bytes
            self.modified = modified
        }
    }

    struct State: Sendable {
        var files: [TargetPath: File] = [:]
        var parts: [PartFile: File] = [:]
        /// Parts that lie apart, by their names; nothing for a directory that is not there.
        var apart: [PartFile: [String: [UInt8]]] = [:]
        /// How many parts an assembly has put in their places.
        var records: [PartFile: Int] = [:]
        var strategy: MergeStrategy
        var renames: [TargetPath] = []
        var room = Int64.max

        /// Directories are not kept: there is one wherever something lies below.
        func isDirectory(_ path: TargetPath) -> Bool {
            files.keys.contains { $0.isBelow(path.components) }
                || parts.keys.contains { $0.path.isBelow(path.components) }
        }

        func isBelowFile(_ path: TargetPath) -> Bool { files.keys.contains { path.isBelow($0.components) } }

        var used: Int64 {
            (files.values.map(\.bytes.count) + parts.values.map(\.bytes.count)
                + apart.values.flatMap { $0.values.map(\.count) }).reduce(0) { $0 + Int64($1) }
        }
    }

    /// Faults to plant.
    public let faults: PortFaults<Operation, TargetError>
    let state: Mutex<State>
    let verification: Verification
    private let isAtomic: Bool
    private let digest: @Sendable ([UInt8]) -> SHA256Digest
    let piece: Int
    private let renameCounter = Atomic(0)

    /// - Parameters:
    ///   - strategy: how generations are built.
    ///   - faults: shared with the test that plants them.
    ///   - verification: what `ship` proves; `size` looks at nothing.
    ///   - isAtomic: what `rename` claims.
    ///   - piece: how many bytes `ship` reads and writes at once; others may go first in between.
    ///   - digest: real SHA-256 by default.
    public init(
        strategy: MergeStrategy = .inPlace,
        faults: PortFaults<Operation, TargetError> = PortFaults(),
        verification: Verification = .digest,
        isAtomic: Bool = true,
        piece: Int = 65_536,
        digest: @escaping @Sendable ([UInt8]) -> SHA256Digest = { SHA256.digest($0) }
    ) {
        state = Mutex(State(strategy: strategy))
        self.faults = faults
        self.verification = verification
        self.isAtomic = isAtomic
        self.piece = max(piece, 1)
        self.digest = digest
    }

    // MARK: For tests

    /// The final files; a test may put strangers' files in, or take files away.
    public var files: [TargetPath: File] {
        get { state.withLock { $0.files } }
        set { state.withLock { $0.files = newValue } }
    }

    /// The part files; a test may damage or remove them.
    public var partFiles: [PartFile: File] {
        get { state.withLock { $0.parts } }
        set { state.withLock { $0.parts = newValue } }
    }

    /// How generations that begin from now on are built.
    public var nextStrategy: MergeStrategy {
        get { state.withLock { $0.strategy } }
        set { state.withLock { $0.strategy = newValue } }
    }

    /// The directories of parts that lie apart; a test may damage or remove what is in them.
    public var partDirectories: [PartFile: [String: [UInt8]]] {
        get { state.withLock { $0.apart } }
        set { state.withLock { $0.apart = newValue } }
    }

    /// Changes one byte of a part file, as somebody else would: its time tells of it. False where there is none.
    @discardableResult
    public func damage(_ file: PartFile, at offset: Int) -> Bool {
        state.withLock { state in
            guard let part = state.parts[file], part.bytes.indices.contains(offset) else { return false }
            state.parts[file]?.bytes[offset] ^= 1
            state.parts[file]?.modified = Self.written
            return true
        }
    }

    /// Every path at which a final file appeared, in order.
    public var renames: [TargetPath] { state.withLock { $0.renames } }

    /// How many there are in `renames`: quicker asked, at every step of a simulation.
    public var renameCount: Int { renameCounter.load(ordering: .relaxed) }

    /// How many bytes fit in all.
    public var room: Int64 {
        get { state.withLock { $0.room } }
        set { state.withLock { $0.room = newValue } }
    }

    // MARK: Port

    /// It is never left alone.
    public var breaker: BreakerState { .closed }

    /// What lies at a path.
    public func facts(of path: TargetPath) async throws(TargetError) -> FileFacts? {
        try await faults.perform(.facts) {
            state.withLock { state in
                if let file = state.files[path] { return Self.facts(file) }
                return state.isDirectory(path) ? FileFacts(kind: .directory, size: 0, modified: 0) : nil
            }
        }
    }

    /// What lies at a part file's name.
    public func facts(of file: PartFile) async throws(TargetError) -> FileFacts? {
        try await faults.perform(.facts) { state.withLock { Self.facts($0.parts[file]) } }
    }

    /// The times of a part file in which a part was just proven, and of one that was written into since.
    static let (marked, written): (Int64, Int64) = (0, 1)

    private static func facts(_ file: File?) -> FileFacts? {
        file.map { FileFacts(kind: .file, size: Int64($0.bytes.count), modified: $0.modified) }
    }

    /// Makes an empty part file.
    public func prepare(_ file: PartFile, size: Int64?) async throws(TargetError) {
        try await faults.perform(.prepare) { () throws(TargetError) in
            let refusal = state.withLock { state -> TargetError? in
                if state.isDirectory(file.path) || state.isBelowFile(file.path) {
                    return TargetError(.pathRefused, "prepare \(file.path): it leads to a directory or below a file")
                }
                if let size, size > state.room - state.used {
                    return TargetError(.diskFull, "prepare \(file.name): \(size) bytes do not fit")
                }
                if file.strategy.shipsInMerge { return nil }
                if state.parts[file] != nil { return TargetError(.failed, "prepare \(file.name): it exists") }
                state.parts[file] = File(bytes: [])
                if file.strategy.keepsPartsApart { state.apart[file] = [:] }
                return nil
            }
            if let refusal { throw refusal }
        }
    }

    /// Writes a part piece by piece, and proves it in the configured way.
    public func ship(_ reader: any PartReader, into file: PartFile) async throws(TargetError) -> Verification {
        if file.strategy.shipsInMerge { return try await faults.perform(.ship) { .size } }
        if file.strategy.keepsPartsApart { return try await shipApart(reader, of: file) }
        guard state.withLock({ $0.parts[file] != nil }) else { throw Self.lost(file) }
        try await read(reader) { position, bytes throws(TargetError) in
            try write(bytes, at: reader.part.offset + position, file)
        }
        return try await faults.perform(.ship) { () throws(TargetError) in
            let content = state.withLock { state in
                state.parts[file]?.modified = Self.marked
                return state.parts[file]?.bytes
            }
            guard let content else { throw Self.lost(file) }
            if verification != .size { try prove(reader.part, in: content, of: file) }
            return verification
        }
    }

    /// Proves a part where it lies.
    public func prove(_ part: Part, in file: PartFile) async throws(TargetError) {
        try await faults.perform(.prove) { () throws(TargetError) in
            guard let content = state.withLock({ $0.parts[file]?.bytes }) else { throw Self.lost(file) }
            try prove(part, in: content, of: file)
        }
    }

    func prove(_ part: Part, in content: [UInt8], of file: PartFile) throws(TargetError) {
        try prove(part, content.dropFirst(Int(part.offset)).prefix(Int(part.size)), of: file)
    }

    func prove(_ part: Part, _ bytes: ArraySlice<UInt8>, of file: PartFile) throws(TargetError) {
        let found = digest(Array(bytes))
        guard found == part.digest else {
            throw TargetError(.partFileLost, "\(file.name): expected \(part.digest), found \(found)")
        }
    }

    func write(_ bytes: [UInt8], at offset: Int64, _ file: PartFile) throws(TargetError) {
        let failure = state.withLock { state -> TargetError? in
            guard var target = state.parts[file] else { return Self.lost(file) }
            let end = Int(offset) + bytes.count
            let growth = max(0, end - target.bytes.count)
            guard Int64(growth) <= state.room - state.used else {
                return TargetError(.diskFull, "write \(file.name): the disk is full")
            }
            if growth > 0 { target.bytes.append(contentsOf: [UInt8](repeating: 0, count: growth)) }
            target.bytes.withUnsafeMutableBytes { memory in
                let place = UnsafeMutableRawBufferPointer(rebasing: memory[Int(offset)..<end])
                bytes.withUnsafeBytes { place.copyMemory(from: $0) }
            }
            target.modified = Self.written
            state.parts[file] = target
            return nil
        }
        if let failure { throw failure }
    }

    static func lost(_ file: PartFile) -> TargetError {
        TargetError(.partFileLost, "\(file.name) is not there")
    }

    /// Checks the size, and sets the time and the mode.
    public func seal(
        _ file: PartFile,
        size: Int64,
        modified: Int64,
        attributes: FinalAttributes
    ) async throws(TargetError) -> any SealedPartFile {
        try await faults.perform(.seal) { () throws(TargetError) in
            let found = state.withLock { state -> Int64? in
                guard let part = state.parts[file], Int64(part.bytes.count) == size else { return nil }
                state.parts[file]?.modified = modified
                state.parts[file]?.mode = (attributes.mode ?? .standard).untilRenamed
                return part.modified
            }
            guard let found else { throw TargetError(.partFileLost, "seal \(file.name): it is not \(size) bytes") }
            let facts = FileFacts(kind: .file, size: size, modified: modified)
            let isUntouched = found == Self.marked
            return Sealed(target: self, file: file, attributes: attributes, facts: facts, isUntouched: isUntouched)
        }
    }

    /// Gives the part file its final name.
    public func rename(_ file: PartFile, overwrite: Overwrite) async throws(TargetError) -> RenameResult {
        try await faults.perform(.rename) { () throws(TargetError) in
            let result = state.withLock { state -> RenameResult? in
                guard let part = state.parts[file] else { return nil }
                if overwrite == .never, state.files[file.path] != nil { return .taken }
                state.parts[file] = nil
                state.files[file.path] = part
                state.renames.append(file.path)
                renameCounter.store(state.renames.count, ordering: .relaxed)
                return .renamed(atomic: isAtomic)
            }
            guard let result else { throw TargetError(.interrupted, "rename \(file.name): it is not there") }
            return result
        }
    }

    /// A replacement here is one step, whatever it claims.
    public func removeBackup(of file: PartFile) async throws(TargetError) -> Bool { false }

    /// Nothing is held open.
    public func giveUp(_ file: PartFile) async {}

    /// The digest of a final file.
    public func digest(of path: TargetPath, size: Int64) async throws(TargetError) -> SHA256Digest? {
        try await faults.perform(.digest) { state.withLock { $0.files[path]?.bytes }.map { digest($0) } }
    }

    /// Sets what a final file gets once it has its name; it must be there.
    public func settle(
        _ file: PartFile,
        found: FileFacts,
        attributes: FinalAttributes
    ) async throws(TargetError) {
        try await faults.perform(.syncFinal) { () throws(TargetError) in
            guard setRest(file, found, attributes) else {
                throw TargetError(.notFound, "settle \(file.path): it is not there")
            }
        }
    }

    /// Sets attributes of the file that was found, if it is still there; false where nothing is.
    @discardableResult
    private func setRest(_ file: PartFile, _ found: FileFacts, _ attributes: FinalAttributes) -> Bool {
        state.withLock { state in
            guard let now = Self.facts(state.files[file.path]) else { return false }
            guard now == found else { return true }
            state.files[file.path]?.mode = attributes.mode ?? .standard
            if let time = attributes.modifiedAt { state.files[file.path]?.modified = time.seconds }
            return true
        }
    }

    /// Removes one part file.
    public func remove(_ file: PartFile) async throws(TargetError) {
        try await faults.perform(.remove) {
            state.withLock { state in
                state.parts[file] = nil
                state.apart[file] = nil
                state.records[file] = nil
            }
        }
    }

    /// Removes an upload's part files of earlier generations, or all.
    public func removePartFiles(
        of upload: UploadID,
        beside path: TargetPath,
        before generation: Generation?
    ) async throws(TargetError) -> Int {
        try await faults.perform(.removePartFiles) {
            state.withLock { state in
                let isDoomed = { (file: PartFile) in
                    file.upload == upload && file.path.directory == path.directory
                        && generation.map { file.generation < $0 } ?? true
                }
                let doomed = (state.parts.keys.filter(isDoomed), state.apart.keys.filter(isDoomed))
                for file in doomed.0 { state.parts[file] = nil }
                for file in doomed.1 {
                    state.apart[file] = nil
                    state.records[file] = nil
                }
                return doomed.0.count + doomed.1.count
            }
        }
    }

    /// Says what it is.
    public func inspect() async throws(TargetError) -> [String: String] {
        try await faults.perform(.inspect) { ["server": "in memory", "merge": nextStrategy.rawValue] }
    }

    private struct Sealed: SealedPartFile {
        let target: InMemoryTarget
        let file: PartFile
        let attributes: FinalAttributes
        let facts: FileFacts
        let isUntouched: Bool

        func settle() async throws(TargetError) {
            try await target.faults.perform(.sync) { _ = target.setRest(file, facts, attributes) }
        }

        func close() async {}
    }
}
