// Small files, built in one go on a target in memory.

public import Core
internal import Synchronization

extension InMemoryTarget {
    /// Makes a part file, fills and seals it: each step may fail by itself.
    public func build(
        _ file: PartFile,
        of part: Part,
        _ bytes: any ByteChunk,
        modified: Int64,
        attributes: FinalAttributes
    ) async throws(TargetError) -> BuiltPartFile {
        try await prepare(file, size: part.size)
        try write(bytes.withUnsafeBytes { Array($0) }, at: 0, file)
        try await faults.perform(.ship) { () throws(TargetError) in
            let content = state.withLock { state in
                state.parts[file]?.modified = Self.marked
                return state.parts[file]?.bytes
            }
            guard let content else { throw Self.lost(file) }
            if verification != .size { try prove(part, in: content, of: file) }
        }
        let taken = try await facts(of: file.path)
        let time = taken?.modified == modified ? modified - 1 : modified
        let sealed = try await seal(file, size: part.size, modified: time, attributes: attributes)
        return BuiltPartFile(sealed: sealed, verification: verification)
    }
}
