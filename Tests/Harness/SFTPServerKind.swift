// The kinds of SFTP servers that targets are, each as a real server of its own.

import Glibc

/// A kind of SFTP server, by what it can and how it behaves.
public enum SFTPServerKind: Hashable, Sendable, CaseIterable {
    /// sshd as it comes: runs commands, has all extensions.
    case openSSH
    /// sshd that shows the account one directory only and runs no commands.
    case chrooted
    /// sshd that runs no commands and has no extensions: no flush, no replacing rename, no copy, no limits, no space.
    case withoutExtensions
    /// sshd with a shell and POSIX's commands, without python3, flock and openssl.
    case fewCommands
    /// The same with flock.
    case fewCommandsAndFlock
    /// The same where `sh` is bash, and the file system has no locks, so that flock fails.
    case bashWithoutLocks
    /// ProFTPD's mod_sftp: no commands, digests by `check-file`.
    case proFTPD
    /// A gateway to an object store: no writing at an offset, no append, no rename onto a file, no attributes, no flush.
    case gateway
    /// A gateway that shows a file only when its handle is closed, and renames nothing.
    case publishingGateway
    /// Writes a file on at its end only, and has no extensions.
    case appending
    /// Answers slowly, and looks long before it renames.
    case slow
    /// Drops each connection after so many bytes of file data.
    case losing(afterBytes: Int)
    /// Loses half of each write, and says nothing.
    case shortWrites
    /// Answers requests that nobody made.
    case wrongRequestIDs
    /// Sends packets that are far too long.
    case oversizedPackets
    /// sshd with an RSA host key only.
    case rsaHostKey
    /// sshd that wants a MAC over what is encrypted (EtM), and has no cipher that does without.
    case encryptThenMAC

    /// One of each; `losing` after a megabyte.
    public static let allCases: [SFTPServerKind] = [
        .openSSH, .chrooted, .withoutExtensions, .fewCommands, .fewCommandsAndFlock, .bashWithoutLocks, .proFTPD,
        .gateway, .publishingGateway, .appending, .slow, .losing(afterBytes: 1_000_000), .shortWrites,
        .wrongRequestIDs, .oversizedPackets, .rsaHostKey, .encryptThenMAC,
    ]

    /// Those that can be started here. A suite that leaves one out has a test that is skipped with the reason.
    public static let available = allCases.filter(\.isAvailable)

    /// Whether it can be started here: a chroot needs root.
    public var isAvailable: Bool { self != .chrooted || geteuid() == 0 }

    /// How long `slow` takes for each answer, one after the other.
    public static let slowSeconds = 0.1

    /// The extensions that `withoutExtensions` withholds, as `sftp-server -Q requests` names them.
    public static let withheld = [
        "posix-rename", "statvfs", "fstatvfs", "hardlink", "fsync", "lsetstat", "limits", "expand-path", "copy-data",
        "home-directory", "users-groups-by-id",
    ]

    /// What `fewCommands` has on the account's PATH.
    public static let posixCommands = [
        "awk", "basename", "cat", "chmod", "cp", "cut", "date", "dd", "df", "dirname", "env", "expr", "false", "find",
        "grep", "head", "id", "ln", "ls", "mkdir", "mktemp", "mv", "od", "printf", "rm", "rmdir", "sed", "sh",
        "sha256sum",
        "sleep", "sort", "stat", "sync", "tail", "tee", "test", "touch", "tr", "true", "truncate", "uname", "wc",
    ]

    /// Starts one of its own and waits until it answers.
    public func start() async throws -> any SFTPServer {
        switch self {
        case .openSSH: try await SSHServer.start()
        case .chrooted: try await SSHServer.start(isChrooted: true)
        case .withoutExtensions:
            try await SSHServer.start(
                configuration: ["ForceCommand internal-sftp -P \(Self.withheld.joined(separator: ","))"]
            )
        case .fewCommands: try await SSHServer.start(commands: Self.posixCommands)
        case .fewCommandsAndFlock: try await SSHServer.start(commands: Self.posixCommands + ["flock"])
        case .bashWithoutLocks:
            // expr takes what flock is told for a wrong expression, and says so.
            try await SSHServer.start(commands: Self.posixCommands.filter { $0 != "sh" } + ["sh=bash", "flock=expr"])
        case .proFTPD: try await ProFTPDServer.start()
        case .gateway: try await AsyncSSHServer.start(.gateway)
        case .publishingGateway: try await AsyncSSHServer.start(.publishingGateway)
        case .appending: try await AsyncSSHServer.start(.appending)
        case .slow: try await AsyncSSHServer.start(.slow(seconds: Self.slowSeconds))
        case .losing(let count): try await AsyncSSHServer.start(.losing(afterBytes: count))
        case .shortWrites: try await AsyncSSHServer.start(.shortWrites)
        case .wrongRequestIDs: try await AsyncSSHServer.start(.wrongRequestIDs)
        case .oversizedPackets: try await AsyncSSHServer.start(.oversizedPackets)
        case .rsaHostKey: try await SSHServer.start(hostKeyTypes: ["rsa"])
        case .encryptThenMAC:
            try await SSHServer.start(configuration: [
                "Ciphers aes128-ctr,aes192-ctr,aes256-ctr",
                "MACs hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com",
            ])
        }
    }
}
