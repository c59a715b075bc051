// TargetConfiguration: one machine and account that files are delivered to.

/// A target: a machine and account reached over SFTP, and the directory below which uploads arrive.
public struct TargetConfiguration: Sendable, Equatable, Identifiable {
    /// How the account is logged in to.
    public enum Credential: Sendable, Equatable {
        /// File with a private key in OpenSSH's or PEM format, absolute path.
        case keyFile(String)
        /// File with a password, absolute path.
        case passwordFile(String)
    }

    /// Which SSH implementation carries the session.
    public enum Transport: String, Sendable, CaseIterable {
        /// `libssh2`, naming the other where it finds no common algorithm.
        case auto
        /// The library.
        case libssh2
        /// The system's `ssh` as a child process.
        case openssh
    }

    /// A host on the way to a target that cannot be reached directly.
    public struct Jump: Sendable, Equatable {
        /// Host name or address.
        public var host: String
        /// TCP port.
        public var port = 22
        /// Account.
        public var user: String
        /// File with a private key without a passphrase, absolute path.
        public var keyFile: String
        /// Pinned fingerprints, as the target's.
        public var hostKeys: [String]

        /// A host on the way, on the usual port.
        public init(host: String, user: String, keyFile: String, hostKeys: [String]) {
            self.host = host
            self.user = user
            self.keyFile = keyFile
            self.hostKeys = hostKeys
        }
    }

    /// How the final file is made of what was shipped.
    public enum Merge: String, Sendable, CaseIterable {
        /// Probed once, the first that works.
        case auto
        /// Parts are written at their offsets of one part file.
        case inPlace = "in-place"
        /// The server concatenates part files with `copy-data`.
        case copy
        /// A script on the target concatenates part files.
        case script
        /// The worker reads part files and writes them on.
        case relay
        /// One ascending write from staging.
        case stream
    }

    /// How it is proven that the target has the right bytes.
    public enum Verify: String, Sendable, CaseIterable {
        /// The strongest that the target offers at reasonable cost.
        case auto
        /// The target computes digests.
        case digest
        /// The size alone.
        case size
        /// The worker reads everything back.
        case readback
    }

    /// What must have happened on the target before a part counts as written.
    public enum Durability: String, Sendable, CaseIterable {
        /// fsync@openssh.com was confirmed.
        case fsync
        /// The write was confirmed.
        case none
    }

    /// Name of the target in requests, queues and logs: `[a-z0-9][a-z0-9._-]{0,62}`.
    public var id: String
    /// Host name or address.
    public var host: String
    /// TCP port.
    public var port = 22
    /// Account.
    public var user: String
    /// How the account is logged in to.
    public var credential: Credential
    /// Pinned fingerprints, `SHA256:` and 43 characters of base64, any of which the server may show. Never empty: there
    /// is no trust on first use.
    public var hostKeys: [String]
    /// Directory below which all paths of uploads lie, absolute.
    public var root: String
    /// SSH sessions that one worker keeps to this target.
    public var sessions = 4
    /// SSH sessions of all workers together; `nil` for no bound but `sessions` a worker.
    public var maxSessions: Int?
    /// Which SSH implementation carries the session.
    public var transport = Transport.auto
    /// File with a certificate for the key, absolute path; `nil` for none. The `openssh` transport only.
    public var certificateFile: String?
    /// The host on the way; `nil` where the target is reached directly. The `openssh` transport only.
    public var jump: Jump?
    /// How the final file is made.
    public var merge = Merge.auto
    /// How the bytes on the target are proven.
    public var verify = Verify.auto
    /// What must have happened before a part counts as written.
    public var durability = Durability.fsync
    /// Permission bits of final files whose client asked for none, the owner's read bit among them; `nil` for 0644.
    public var fileMode: UInt32?
    /// Numeric owner of final files; `nil` for the account's own.
    public var fileOwner: UInt32?
    /// Numeric group of final files; `nil` for the one that the target gives them.
    public var fileGroup: UInt32?

    /// A target with the defaults for everything that may be left out.
    public init(id: String, host: String, user: String, credential: Credential, hostKeys: [String], root: String) {
        self.id = id
        self.host = host
        self.user = user
        self.credential = credential
        self.hostKeys = hostKeys
        self.root = root
    }

    /// The key file, where the login is by key.
    public var keyFile: String? { if case .keyFile(let path) = credential { path } else { nil } }

    /// The password file, where the login is by password.
    public var passwordFile: String? { if case .passwordFile(let path) = credential { path } else { nil } }

    /// Whether `id` can name a target: `[a-z0-9][a-z0-9._-]{0,62}`.
    public static func isValid(id: String) -> Bool {
        let bytes = id.utf8
        guard let first = bytes.first, bytes.count <= 63 else { return false }
        let isWord = { (byte: UInt8) in isAlphanumeric(byte) && !(UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
        }
        return isWord(first) && bytes.allSatisfy { isWord($0) || "._-".utf8.contains($0) }
    }
}

extension TargetConfiguration {
    static let idExpectation =
        "a target id of 1 to 63 characters a-z, 0-9, '.', '_' and '-', the first a letter or digit"

    /// Reads the target `id` from its mapping; `nil` where something required is missing or wrong (reported).
    static func read(_ id: String, from section: YAMLSection) -> Self? {
        defer { section.close() }
        let host = section.required("host", .host)
        let port = section.value("port", .integer(1...65_535), default: 22)
        let user = section.required("user", .user)
        let credential = readCredential(from: section)
        let hostKeys = readHostKeys(from: section)
        let root = section.required("root", .absolutePath)
        let sessions = section.value("sessions", .integer(1...64), default: 4)
        let maxSessions = section.optional("max_sessions", .integer(1...10_000))
        let transport = section.value("transport", .choice, default: Transport.auto)
        let certificateFile = section.optional("certificate_file", .absolutePath)
        let way = section.section("jump", overridable: false)
        let jump = section.has("jump") ? Jump.read(from: way) : nil
        if transport != .openssh {
            for key in ["certificate_file", "jump"] where section.has(key) {
                section.report(key, "expected transport: openssh beside it; the other transport cannot do this")
            }
        }
        let merge = section.value("merge", .choice, default: Merge.auto)
        let verify = section.value("verify", .choice, default: Verify.auto)
        let durability = section.value("durability", .choice, default: Durability.fsync)
        let fileMode = section.optional("file_mode", .permissions)
        // The highest number stands for none.
        let fileOwner = section.optional("file_owner", .integer(0...Int(UInt32.max - 1)))
        let fileGroup = section.optional("file_group", .integer(0...Int(UInt32.max - 1)))
        guard let host, let user, let credential, let hostKeys, let root else { return nil }
        var target = Self(id: id, host: host, user: user, credential: credential, hostKeys: hostKeys, root: root)
        target.port = port
        target.sessions = sessions
        target.maxSessions = maxSessions
        target.transport = transport
        target.certificateFile = certificateFile
        target.jump = jump
        target.merge = merge
        target.verify = verify
        target.durability = durability
        target.fileMode = fileMode
        target.fileOwner = fileOwner.map(UInt32.init)
        target.fileGroup = fileGroup.map(UInt32.init)
        return target
    }

    fileprivate static func readHostKeys(from section: YAMLSection) -> [String]? {
        let fingerprint = ValueKind.text(
            "a fingerprint SHA256: and 43 characters of base64, as ssh-keygen -lf prints it"
        ) {
            $0.hasPrefix("SHA256:") && $0.utf8.count == 50
                && $0.utf8.dropFirst(7).allSatisfy { isAlphanumeric($0) || "+/".utf8.contains($0) }
        }
        let hostKeys = section.list("host_keys", fingerprint, count: 1...8)
        if !section.keys.contains("host_keys") {
            let message =
                "required key is missing; expected a list of pinned fingerprints: there is no trust on first use"
            section.report("host_keys", message)
        }
        return hostKeys
    }

    private static func readCredential(from section: YAMLSection) -> Credential? {
        let keyFile = section.optional("key_file", .absolutePath)
        let passwordFile = section.optional("password_file", .absolutePath)
        switch (section.has("key_file"), section.has("password_file")) {
        case (true, true):
            section.report("password_file", "expected either key_file or password_file, found both")
            return nil
        case (false, false):
            section.report("key_file", "required key is missing; expected key_file or password_file")
            return nil
        default:
            return keyFile.map(Credential.keyFile) ?? passwordFile.map(Credential.passwordFile)
        }
    }
}

extension TargetConfiguration.Jump {
    /// Reads a jump host from its mapping; `nil` where something required is missing or wrong (reported).
    fileprivate static func read(from section: YAMLSection) -> Self? {
        defer { section.close() }
        guard !section.isRefused else { return nil }
        let host = section.required("host", .host)
        let port = section.value("port", .integer(1...65_535), default: 22)
        let user = section.required("user", .user)
        let keyFile = section.required("key_file", .absolutePath)
        let hostKeys = TargetConfiguration.readHostKeys(from: section)
        guard let host, let user, let keyFile, let hostKeys else { return nil }
        var jump = Self(host: host, user: user, keyFile: keyFile, hostKeys: hostKeys)
        jump.port = port
        return jump
    }
}
