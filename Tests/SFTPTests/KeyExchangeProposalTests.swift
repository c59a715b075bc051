// What is read from a server's first bytes: its offer, whole or not, well-formed or not.

import Testing

@testable import SFTP

@Suite struct KeyExchangeProposalTests {
    private static let lists = [
        "curve25519-sha256,ext-info-s,kex-strict-s-v00@openssh.com", "rsa-sha2-512,rsa-sha2-256",
        "aes128-ctr,aes256-ctr",
        "aes256-ctr", "hmac-sha2-256-etm@openssh.com", "hmac-sha2-256", "none,zlib@openssh.com", "none", "", "",
    ]

    private static func integer(_ value: Int) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
    }

    /// A packet with four bytes of padding.
    private static func packet(_ payload: [UInt8]) -> [UInt8] {
        integer(payload.count + 5) + [4] + payload + [0, 0, 0, 0]
    }

    private static func message(_ lists: [String]) -> [UInt8] {
        let names = lists.flatMap { integer($0.utf8.count) + Array($0.utf8) }
        return [20] + [UInt8](repeating: 0xAA, count: 16) + names + [0, 0, 0, 0, 0]
    }

    private static let greeting = Array("SSH-2.0-OpenSSH_9.2\r\n".utf8)

    @Test func anOfferIsReadWithoutWhatIsNoAlgorithm() throws {
        let found = try #require(KeyExchangeProposal(heard: Self.greeting + Self.packet(Self.message(Self.lists))))
        #expect(found.keyExchange == ["curve25519-sha256"])
        #expect(found.hostKey == ["rsa-sha2-512", "rsa-sha2-256"])
        #expect(found.cipher == [["aes128-ctr", "aes256-ctr"], ["aes256-ctr"]])
        #expect(found.mac == [["hmac-sha2-256-etm@openssh.com"], ["hmac-sha2-256"]])
        #expect(found.compression == [["none", "zlib@openssh.com"], ["none"]])
    }

    @Test func linesAndPacketsBeforeItAreSkippedAndWhatFollowsIsNotRead() {
        let offer = Self.packet(Self.message(Self.lists))
        let plain = KeyExchangeProposal(heard: Self.greeting + offer)
        let banner = Array("Welcome.\nNot SSH-2.0\n".utf8)
        let ignored = Self.packet([2, 0, 0, 0, 1, 9])
        #expect(plain != nil)
        #expect(KeyExchangeProposal(heard: banner + Self.greeting + ignored + offer + [1, 2, 3]) == plain)
        #expect(KeyExchangeProposal(heard: offer) == nil)
        #expect(KeyExchangeProposal(heard: banner + offer) == nil)
    }

    @Test func noPartOfAnOfferIsOne() {
        let whole = Self.greeting + Self.packet(Self.message(Self.lists))
        for count in 0..<whole.count {
            #expect(KeyExchangeProposal(heard: Array(whole.prefix(count))) == nil, "\(count) of \(whole.count) bytes")
        }
    }

    @Test func lengthsThatLieAreNoOffer() {
        let message = Self.message(Self.lists)
        let beyond = Array(message.prefix(17)) + Self.integer(1 << 30) + Array(message.dropFirst(21))
        let padding = Self.integer(message.count + 5) + [255] + message + [0, 0, 0, 0]
        let long = Self.integer(40_000) + [4] + message + [UInt8](repeating: 0, count: 40_000)
        for bytes in [Self.packet(beyond), padding, long, Self.packet([20]), Self.packet([]), Self.integer(0)] {
            #expect(KeyExchangeProposal(heard: Self.greeting + bytes) == nil)
        }
    }

    @Test func namesAreMadePrintable() throws {
        var lists = Self.lists
        lists[1] = "ssh\u{1b}[2J"
        let found = try #require(KeyExchangeProposal(heard: Self.greeting + Self.packet(Self.message(lists))))
        #expect(found.hostKey == ["ssh?[2J"])
    }

    @Test func eitherDirectionWithoutAgreementIsAMismatch() throws {
        let found = try #require(KeyExchangeProposal(heard: Self.greeting + Self.packet(Self.message(Self.lists))))
        let allowed: [AlgorithmMismatch.Kind: [String]] = [
            .keyExchange: ["curve25519-sha256"], .hostKey: ["ssh-ed25519"], .cipher: ["aes128-ctr"],
            .mac: ["hmac-sha2-256"], .compression: ["none"],
        ]
        #expect(
            found.mismatches(with: allowed) == [
                AlgorithmMismatch(.hostKey, offered: ["rsa-sha2-512", "rsa-sha2-256"], allowed: ["ssh-ed25519"]),
                AlgorithmMismatch(.cipher, offered: ["aes256-ctr"], allowed: ["aes128-ctr"]),
                AlgorithmMismatch(.mac, offered: ["hmac-sha2-256-etm@openssh.com"], allowed: ["hmac-sha2-256"]),
            ]
        )
        #expect(found.mismatches(with: [:]) == [])
    }

    @Test func bothListsAreToldAndLongOnesShortened() {
        let many = (0..<40).map { "cipher-\($0)" + String(repeating: "x", count: 100) }
        let text = "\(AlgorithmMismatch(.hostKey, offered: many, allowed: []))"
        #expect(text.hasPrefix("no host key algorithm in common: the server offers cipher-0xx"))
        #expect(text.hasSuffix("and 24 more; this side none"))
        #expect(text.utf8.count < 1_300)
        let error = SFTPError.noCommonAlgorithm(
            [AlgorithmMismatch(.mac, offered: ["one", "two"], allowed: ["three"])],
            reason: "try something else"
        )
        #expect("\(error)" == "no MAC in common: the server offers one, two; this side three; try something else")
    }
}
