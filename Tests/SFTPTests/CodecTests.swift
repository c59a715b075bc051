// The codec against golden bytes, against itself, and against hostile bytes.

import Harness
import NIOCore
import Testing

@testable import SFTP

@Suite struct CodecTests {
    private func bytes(_ request: Request, id: UInt32) -> [UInt8] {
        var (head, data) = request.encoded(id: id)
        if var data { head.writeBuffer(&data) }
        return Array(head.readableBytesView)
    }

    /// Laid out by hand from draft-ietf-secsh-filexfer-02 §6.
    @Test func goldenRequests() {
        #expect(Array(Request.initialization(version: 3).readableBytesView) == [0, 0, 0, 5, 1, 0, 0, 0, 3])
        #expect(
            bytes(.open(path: "/a", flags: [.write, .create], attributes: .init(permissions: 0o600)), id: 7)
                == [0, 0, 0, 23, 3, 0, 0, 0, 7, 0, 0, 0, 2, 47, 97, 0, 0, 0, 10, 0, 0, 0, 4, 0, 0, 1, 128]
        )
        #expect(
            bytes(.write([9, 8], offset: 0x0102_0304_0506_0708, data: ByteBuffer(bytes: [1, 2, 3])), id: 1)
                == [0, 0, 0, 26, 6, 0, 0, 0, 1, 0, 0, 0, 2, 9, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 3, 1, 2, 3]
        )
        #expect(
            bytes(.read([1], offset: 5, length: 6), id: 2)
                == [0, 0, 0, 22, 5, 0, 0, 0, 2, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 6]
        )
        #expect(bytes(.close([1]), id: 3) == [0, 0, 0, 10, 4, 0, 0, 0, 3, 0, 0, 0, 1, 1])
        #expect(
            bytes(.rename(from: "a", to: "b"), id: 4)
                == [0, 0, 0, 15, 18, 0, 0, 0, 4, 0, 0, 0, 1, 97, 0, 0, 0, 1, 98]
        )
        #expect(
            bytes(.extended(name: "x@y", payload: ByteBuffer(bytes: [5])), id: 5)
                == [0, 0, 0, 13, 200, 0, 0, 0, 5, 0, 0, 0, 3, 120, 64, 121, 5]
        )
        #expect(
            bytes(.fsetstat([1], .init(accessTime: 2, modificationTime: 3)), id: 6)
                == [0, 0, 0, 22, 10, 0, 0, 0, 6, 0, 0, 0, 1, 1, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 3]
        )
    }

    @Test func goldenReplies() throws {
        func decode(_ bytes: [UInt8]) throws -> InboundPacket {
            try InboundPacket(decoding: ByteBuffer(bytes: bytes))
        }
        #expect(
            try decode([2, 0, 0, 0, 3, 0, 0, 0, 1, 97, 0, 0, 0, 1, 49]) == .version(3, extensions: ["a": "1"])
        )
        #expect(
            try decode([101, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 2, 110, 111, 0, 0, 0, 0])
                == .reply(id: 9, .status(.noSuchFile, message: "no"))
        )
        // ProFTPD answers some requests twice in one packet.
        let refusal: [UInt8] = [101, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 1, 110, 0, 0, 0, 1, 101]
        #expect(try decode(refusal + refusal) == .reply(id: 9, .status(.permissionDenied, message: "n")))
        for wrong in [refusal + refusal.dropLast() + [102], refusal + refusal + [1], refusal + refusal.dropLast()] {
            #expect(throws: SFTPError.self) { try decode(wrong) }
        }
        // Servers of version 2 end after the code.
        #expect(try decode([101, 0, 0, 0, 9, 0, 0, 0, 0]) == .reply(id: 9, .status(.ok, message: "")))
        #expect(try decode([102, 0, 0, 0, 1, 0, 0, 0, 2, 5, 6]) == .reply(id: 1, .handle([5, 6])))
        #expect(
            try decode([103, 0, 0, 0, 1, 0, 0, 0, 1, 5]) == .reply(id: 1, .data(ByteBuffer(bytes: [5])))
        )
        #expect(
            try decode([105, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 129, 164])
                == .reply(id: 1, .attributes(.init(size: 256, permissions: 0o100644)))
        )
        #expect(
            try decode([104, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 97, 0, 0, 0, 1, 98, 0, 0, 0, 0])
                == .reply(id: 1, .names([.init(name: "a", rawName: [97], attributes: .init())]))
        )
    }

    @Test func attributesSurviveARoundTrip() throws {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<500 {
            var attributes = FileAttributes()
            if Bool.random(using: &random) { attributes.size = .random(in: 0...(.max), using: &random) }
            if Bool.random(using: &random) {
                attributes.uid = .random(in: 0...(.max), using: &random)
                attributes.gid = .random(in: 0...(.max), using: &random)
            }
            if Bool.random(using: &random) { attributes.permissions = .random(in: 0...(.max), using: &random) }
            if Bool.random(using: &random) {
                attributes.accessTime = .random(in: 0...(.max), using: &random)
                attributes.modificationTime = .random(in: 0...(.max), using: &random)
            }
            var buffer = ByteBuffer(bytes: [105, 0, 0, 0, 1])
            buffer.writeAttributes(attributes)
            #expect(try InboundPacket(decoding: buffer) == .reply(id: 1, .attributes(attributes)))
        }
    }

    @Test(
        arguments: [
            ("empty", []),
            ("request type", [3, 0, 0, 0, 1]),
            ("no id", [101, 0, 0]),
            ("no code", [101, 0, 0, 0, 1, 0]),
            ("handle longer than packet", [102, 0, 0, 0, 1, 0, 0, 0, 200, 1]),
            ("handle of 2^32-1", [102, 0, 0, 0, 1, 255, 255, 255, 255]),
            ("handle of 257", [102, 0, 0, 0, 1, 0, 0, 1, 1] + [UInt8](repeating: 0, count: 257)),
            ("bytes after handle", [102, 0, 0, 0, 1, 0, 0, 0, 1, 5, 6]),
            ("data of 2^31", [103, 0, 0, 0, 1, 128, 0, 0, 0, 1]),
            ("2^32-1 names", [104, 0, 0, 0, 1, 255, 255, 255, 255]),
            ("4096 names of nothing", [104, 0, 0, 0, 1, 0, 0, 16, 0]),
            ("unknown attribute", [105, 0, 0, 0, 1, 0, 0, 0, 16]),
            ("extended attributes without end", [105, 0, 0, 0, 1, 128, 0, 0, 0, 255, 255, 255, 255]),
            ("size cut off", [105, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]),
            ("half an extension", [2, 0, 0, 0, 3, 0, 0, 0, 1, 97]),
        ] as [(String, [UInt8])]
    )
    func malformed(_ what: String, _ bytes: [UInt8]) {
        #expect(throws: SFTPError.self, "\(what)") {
            try InboundPacket(decoding: ByteBuffer(bytes: bytes))
        }
    }

    /// No bytes crash the decoder or make it return anything that exceeds the bounds.
    @Test func randomBytesAreDecodedOrRefused() {
        var random = SeededGenerator(seed: 2)
        let types: [UInt8] = [2, 101, 102, 103, 104, 105, 201]
        var decoded = 0
        for round in 0..<60_000 {
            var bytes = random.bytes(Int.random(in: 0...80, using: &random))
            // Small numbers make lengths that fit, so that the decoder gets further.
            for index in bytes.indices where Int.random(in: 0..<4, using: &random) > 0 { bytes[index] &= 3 }
            bytes.insert(types[round % types.count], at: 0)
            guard let packet = try? InboundPacket(decoding: ByteBuffer(bytes: bytes)) else { continue }
            decoded += 1
            if case .reply(_, .handle(let handle)) = packet { #expect(handle.count <= 256) }
        }
        #expect(decoded > 1000, "the generator makes nothing that decodes")
    }

    @Test func messagesLoseTheirControlCharacters() throws {
        let message = Array("a\nb\u{1b}[2J\u{2028}".utf8)
        let bytes = [101, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, UInt8(message.count)] + message
        let packet = try InboundPacket(decoding: ByteBuffer(bytes: bytes))
        #expect(packet == .reply(id: 1, .status(.failure, message: "a?b?[2J?")))
    }

    @Test func fingerprintsLookLikeOpenSSHs() {
        // SHA-256 of nothing, through base64.
        let digest = sha256([])
        #expect(Fingerprint.text(sha256: digest) == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU")
        #expect(Fingerprint.normalized(" SHA256:abc= \n") == "SHA256:abc")
    }

    @Test func linesAreCutAndBounded() throws {
        var splitter = LineSplitter(limit: 4)
        try equal(splitter.feed(Array("ab\n\ncd".utf8)), ["ab", ""])
        try equal(splitter.feed(Array("ef\n".utf8)), ["cdef"])
        #expect(throws: SFTPError.self) { try splitter.feed(Array("12345".utf8)) }
    }

    @Test func algorithmsAreChosenInOurOrder() {
        #expect(
            AlgorithmList.choose(AlgorithmList.cipher, from: ["aes256-cbc", "aes256-ctr", "aes128-ctr"])
                == ["aes128-ctr", "aes256-ctr"]
        )
        let all = AlgorithmList.cipher + AlgorithmList.mac + AlgorithmList.keyExchange + AlgorithmList.hostKey
        for banned in ["cbc", "sha1", "arcfour", "md5", "ssh-rsa", "ssh-dss", "group"] {
            #expect(!all.contains { $0.contains(banned) })
        }
    }
}
