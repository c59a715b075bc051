// The names of the index's keys.

internal import Core

/// Names under one prefix; `ferry:` but in tests.
struct UploadKeys: Sendable {
    let prefix: String

    /// The index's identity. Scripts take the prefix from this name.
    var epoch: String { "\(prefix)epoch" }

    func upload(_ id: UploadID) -> String { "\(prefix)u:\(id)" }

    func parts(_ id: UploadID) -> String { "\(prefix)u:\(id):parts" }

    /// Paths are hashed, for they may be long.
    func path(_ path: TargetPath, on target: TargetID) throws(StoreError) -> String {
        "\(prefix)path:\(target):\(try Self.hash(path.description))"
    }

    func repeatKey(_ key: String, of owner: Owner) throws(StoreError) -> String {
        "\(prefix)idem:\(owner):\(try Self.hash(key))"
    }

    var uploads: String { "\(prefix)uploads" }

    func uploads(of owner: Owner) -> String { "\(prefix)owner:\(owner)" }

    /// The failed ones, by the time of their failure.
    var dead: String { "\(prefix)dead" }

    /// Those that are on their way.
    var active: String { "\(prefix)active" }

    func outbox(_ target: TargetID) -> String { "\(prefix)outbox:\(target)" }

    /// Ended uploads that are to be looked at again, by when.
    func sweeps(_ target: TargetID) -> String { "\(prefix)sweeps:\(target)" }

    /// Sessions to a target, of all processes; logins under way; its breaker; processes that wait for a first session.
    func sessions(of target: TargetID) -> [String] {
        ["seats", "logins", "breaker", "waiting"].map { "\(prefix)\($0):\(target)" }
    }
    /// A sign-in, by its secret's hash.
    func session(_ session: SHA256Digest) -> String { "\(prefix)session:\(session.hex)" }

    func lock(_ name: String) -> String { "\(prefix)lock:\(name)" }

    /// The bytes of the last minutes.
    var moved: String { "\(prefix)moved" }

    var workers: String { "\(prefix)workers" }

    var targets: String { "\(prefix)targets" }

    static func hash(_ text: String) throws(StoreError) -> String {
        do {
            let hasher = try SHA256Hasher()
            var text = text
            try text.withUTF8 { try hasher.update(UnsafeRawBufferPointer($0)) }
            return try hasher.finish().hex
        } catch {
            throw .unavailable("hashing a key's name: \(error)")
        }
    }
}
