// What a server proposes before encryption begins, so that a handshake without agreement can say what was missing.

/// The algorithms of a server's SSH_MSG_KEXINIT (RFC 4253 §7.1).
///
/// libssh2 tells only that there was no agreement. Until there is one the server's packets are readable, so what it
/// offered is read from the bytes that came in.
struct KeyExchangeProposal: Sendable, Equatable {
    var keyExchange: [String]
    var hostKey: [String]
    /// Client to server, and server to client.
    var cipher: [[String]]
    var mac: [[String]]
    var compression: [[String]]

    /// Longest packet before encryption (RFC 4253 §6.1), and about as much as may come before the first.
    static let packetBound = 35_000
    private static let messageType: UInt8 = 20
    /// Names that mean something else than an algorithm (RFC 8308 §2.1, OpenSSH PROTOCOL §1.9).
    private static let markers: Set<String> = [
        "ext-info-s", "ext-info-c", "kex-strict-s-v00@openssh.com", "kex-strict-c-v00@openssh.com",
    ]

    /// Reads the first proposal among the bytes that a server sent from the beginning of the connection on; nil where
    /// there is no whole and well-formed one.
    init?(heard bytes: [UInt8]) {
        guard var rest = Self.packets(in: bytes) else { return nil }
        while let payload = Self.packet(&rest) {
            guard payload.first == Self.messageType else { continue }
            // The type, and sixteen random bytes.
            var lists = payload.dropFirst(17)
            var names: [[String]] = []
            for _ in 0..<8 {
                guard let list = Self.names(&lists) else { return nil }
                names.append(list)
            }
            keyExchange = names[0].filter { !Self.markers.contains($0) }
            hostKey = names[1]
            cipher = Array(names[2...3])
            mac = Array(names[4...5])
            compression = Array(names[6...7])
            return
        }
        return nil
    }

    /// What follows the server's identification; other lines may come before it (RFC 4253 §4.2).
    private static func packets(in bytes: [UInt8]) -> ArraySlice<UInt8>? {
        var rest = bytes[...]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let line = rest[..<end]
            rest = rest[(end + 1)...]
            if line.starts(with: Array("SSH-".utf8)) { return rest }
        }
        return nil
    }

    /// The payload of the next packet: length, length of the padding, payload, padding (RFC 4253 §6).
    private static func packet(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard let length = integer(&rest), length <= packetBound, length <= rest.count else { return nil }
        let packet = rest.prefix(length)
        rest = rest.dropFirst(length)
        guard let padding = packet.first, Int(padding) + 1 <= length else { return nil }
        return packet.dropFirst().dropLast(Int(padding))
    }

    /// A name-list: its length, and names with commas between them (RFC 4251 §5).
    private static func names(_ rest: inout ArraySlice<UInt8>) -> [String]? {
        guard let length = integer(&rest), length <= rest.count else { return nil }
        let text = String(decoding: rest.prefix(length), as: UTF8.self)
        rest = rest.dropFirst(length)
        return text.split(separator: ",").map { printable(String($0)) }
    }

    private static func integer(_ rest: inout ArraySlice<UInt8>) -> Int? {
        guard rest.count >= 4 else { return nil }
        let value = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        rest = rest.dropFirst(4)
        return value
    }

    /// What has nothing in common with what this side allows. Without an allowed list for a kind, it is not compared.
    func mismatches(with allowed: [AlgorithmMismatch.Kind: [String]]) -> [AlgorithmMismatch] {
        AlgorithmMismatch.Kind.allCases.compactMap { kind in
            guard let mine = allowed[kind] else { return nil }
            let lists =
                switch kind {
                case .keyExchange: [keyExchange]
                case .hostKey: [hostKey]
                case .cipher: cipher
                case .mac: mac
                case .compression: compression
                }
            guard let lacking = lists.first(where: { Set($0).isDisjoint(with: mine) }) else { return nil }
            return AlgorithmMismatch(kind, offered: lacking, allowed: mine)
        }
    }
}
