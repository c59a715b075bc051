// TokenTable: the parsed tokens file, and the lookup that takes the same time for every token.

import Core
import Foundation

/// Hashed tokens with whom they stand for. Never holds a token itself.
struct TokenTable: Sendable {
    /// One line of the file.
    struct Entry: Sendable {
        /// The four words of the token's SHA-256.
        fileprivate let hash: [UInt64]
        /// Whom it stands for.
        let principal: Principal
        /// When it stops; nil for never.
        let expires: Timestamp?
    }

    private(set) var entries: [Entry] = []
    /// The numbers of lines that could not be understood, from 1. They grant nothing.
    private(set) var refusedLines: [Int] = []

    /// Reads lines of the form `<sha-256 hex of token> <owner> <role>[,role] [expires RFC 3339]`; `#` begins a comment.
    init(text: String) {
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let content = line.prefix { $0 != "#" }
            let fields = content.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard !fields.isEmpty else { continue }
            if let entry = Self.entry(fields) { entries.append(entry) } else { refusedLines.append(index + 1) }
        }
    }

    private static func entry(_ fields: [Substring]) -> Entry? {
        guard (3...4).contains(fields.count), let digest = SHA256Digest(hex: fields[0]), let owner = Owner(fields[1])
        else { return nil }
        var roles: Set<Role> = []
        for name in fields[2].split(separator: ",", omittingEmptySubsequences: false) {
            guard let role = Role(rawValue: String(name)) else { return nil }
            roles.insert(role)
        }
        var expires: Timestamp?
        if fields.count == 4 {
            guard let time = Self.time(String(fields[3])) else { return nil }
            expires = time
        }
        return Entry(hash: words(of: digest), principal: Principal(owner: owner, roles: roles), expires: expires)
    }

    private static func time(_ text: String) -> Timestamp? {
        let whole = Date.ISO8601FormatStyle(includingFractionalSeconds: false)
        let fractional = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        guard let date = (try? whole.parse(text)) ?? (try? fractional.parse(text)) else { return nil }
        let seconds = date.timeIntervalSince1970
        guard abs(seconds) < 9e11 else { return nil }
        return Timestamp(microseconds: Int64(seconds * 1_000_000))
    }

    private static func words(of digest: SHA256Digest) -> [UInt64] {
        let bytes = digest.bytes
        return stride(from: 0, to: 32, by: 8).map { start in
            bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// Whether any valid token lets an owner send files.
    func maySend(_ owner: Owner, now: Timestamp) -> Bool {
        entries.contains { entry in
            entry.principal.owner == owner && entry.principal.roles.contains(.uploader)
                && entry.expires.map { $0 > now } ?? true
        }
    }

    /// Whom a token stands for. Every entry is looked at in full, whichever matches.
    func principal(hash: SHA256Digest, now: Timestamp) -> Principal? {
        let wanted = Self.words(of: hash)
        var found: Entry?
        for entry in entries {
            var difference: UInt64 = 0
            for index in 0..<4 { difference |= entry.hash[index] ^ wanted[index] }
            if difference == 0 { found = entry }
        }
        guard let found else { return nil }
        if let expires = found.expires, expires <= now { return nil }
        return found.principal
    }
}
