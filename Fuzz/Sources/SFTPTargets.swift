// Packets of SFTP: what a server may send, and what is sent to it.

internal import NIOCore

@testable internal import SFTP

extension FuzzTarget {
    /// A length of pieces, then a server's bytes: the pieces must make no difference, nothing exceeds its bound, and what
    /// was read is read again from its own encoding.
    static let sftpReply = FuzzTarget(name: "sftp-reply") { input in
        var input = input
        let length = input.byte()
        let bytes = input.rest()
        let whole = received(bytes, inPiecesOf: 0)
        expect(whole == received(bytes, inPiecesOf: length), "packets do not depend on how bytes come in")
        for case .packet(let packet) in whole {
            expectBounds(packet)
            guard let encoded = encoding(of: packet) else { continue }
            expect((try? InboundPacket(decoding: encoded)) == packet, "\(packet) is read from its own encoding")
        }
    }

    /// A request is one packet, with the fields where the draft puts them.
    static let sftpRequest = FuzzTarget(name: "sftp-request") { input in
        var input = input
        let id: UInt32 = input.integer()
        let request = request(from: &input)
        let (head, data) = request.encoded(id: id)
        let bytes = Array(head.readableBytesView) + (data.map { Array($0.readableBytesView) } ?? [])
        var framer = PacketFramer()
        feed(bytes[...], into: &framer)
        guard let packet = try? framer.next() else {
            expect(false, "\(request) is one packet")
            return
        }
        expect(packet.readableBytes == bytes.count - 4, "the length of \(request) is right")
        expect((try? framer.next()) == .some(nil), "nothing comes after \(request)")
        var reader = PacketReader(packet)
        do throws(SFTPError) {
            _ = try reader.integer(UInt8.self, "type")
            let found = try reader.integer(UInt32.self, "id")
            expect(found == id, "the id comes second")
            try expectFields(of: request, in: &reader)
            try reader.finish()
        } catch {
            expect(false, "\(request) can be read: \(error)")
        }
    }

    /// What a server says before encryption begins: an offer of algorithms does not change by what follows it, and its
    /// names can be shown.
    static let keyExchange = FuzzTarget(name: "key-exchange") { input in
        var input = input
        let bytes = input.rest()
        guard let proposal = KeyExchangeProposal(heard: bytes) else { return }
        expect(KeyExchangeProposal(heard: bytes + [0, 0, 0, 1]) == proposal, "what follows changes nothing")
        let lists =
            [proposal.keyExchange, proposal.hostKey] + proposal.cipher + proposal.mac + proposal.compression
        expect(lists.count == 8, "there are eight lists")
        expect(lists.joined().allSatisfy { printable($0) == $0 }, "names have no control characters")
        let own = Dictionary(uniqueKeysWithValues: AlgorithmMismatch.Kind.allCases.map { ($0, ["own"]) })
        for mismatch in proposal.mismatches(with: own) {
            expect(!mismatch.offered.contains("own"), "\(mismatch) is one")
            expect(mismatch.description.unicodeScalars.count < 2_000, "its words have a bound")
        }
    }

    private enum Received: Equatable {
        case packet(InboundPacket)
        /// The packet broke the protocol.
        case refused
        /// The stream did, and so ended.
        case ended
    }

    private static func received(_ bytes: [UInt8], inPiecesOf length: UInt8) -> [Received] {
        var framer = PacketFramer()
        var received: [Received] = []
        for piece in bytes.pieces(of: length) {
            var rest = piece
            while !rest.isEmpty {
                rest = rest.dropFirst(feedOnce(rest, into: &framer))
                do throws(SFTPError) {
                    while let packet = try framer.next() {
                        expect(packet.readableBytes <= PacketBounds.packet, "a packet has a bound")
                        received.append((try? InboundPacket(decoding: packet)).map(Received.packet) ?? .refused)
                    }
                } catch {
                    return received + [.ended]
                }
            }
        }
        return received
    }

    private static func feed(_ bytes: ArraySlice<UInt8>, into framer: inout PacketFramer) {
        var rest = bytes
        while !rest.isEmpty { rest = rest.dropFirst(feedOnce(rest, into: &framer)) }
    }

    private static func feedOnce(_ bytes: ArraySlice<UInt8>, into framer: inout PacketFramer) -> Int {
        let count = try? framer.fill { (room) throws(SFTPError) in
            expect(!room.isEmpty && room.count <= PacketBounds.packet + 4, "there is room, and it has a bound")
            let count = min(room.count, bytes.count)
            room.copyBytes(from: bytes.prefix(count))
            return (count, count)
        }
        expect((count ?? 0) > 0, "bytes are taken")
        return count ?? bytes.count
    }

    private static func expectBounds(_ packet: InboundPacket) {
        switch packet {
        case .version(_, let extensions):
            expect(extensions.count <= PacketBounds.extensions, "extensions have a bound")
            for (name, value) in extensions {
                expect(printable(name) == name && printable(value) == value, "extensions have no control characters")
            }
        case .reply(_, .status(_, let message)):
            expect(message.unicodeScalars.count <= PacketBounds.message, "a message has a bound")
            expect(printable(message) == message, "a message has no control characters")
        case .reply(_, .handle(let handle)): expect(handle.count <= PacketBounds.handle, "a handle has a bound")
        case .reply(_, .names(let names)):
            expect(names.count <= PacketBounds.names, "names have a bound")
            expect(names.allSatisfy { $0.rawName.count <= PacketBounds.path }, "a name has a bound")
        case .reply: break
        }
    }

    /// The packet as a server could have sent it; nil where what was repaired has outgrown its bound.
    private static func encoding(of packet: InboundPacket) -> ByteBuffer? {
        var buffer = ByteBuffer()
        func begin(_ type: UInt8, _ id: UInt32) { buffer.writeMultipleIntegers(type, id) }
        switch packet {
        case .version(let version, let extensions):
            begin(PacketType.version, version)
            for (name, value) in extensions {
                guard name.utf8.count <= 256, value.utf8.count <= PacketBounds.path else { return nil }
                buffer.writeText(name)
                buffer.writeText(value)
            }
        case .reply(let id, .status(let code, let message)):
            guard message.utf8.count <= PacketBounds.message else { return nil }
            begin(PacketType.status, id)
            buffer.writeInteger(code.rawValue)
            buffer.writeText(message)
            buffer.writeText("en")
        case .reply(let id, .handle(let handle)):
            begin(PacketType.handle, id)
            buffer.writeHandle(handle)
        case .reply(let id, .data(let data)):
            begin(PacketType.data, id)
            buffer.writeInteger(UInt32(data.readableBytes))
            buffer.writeImmutableBuffer(data)
        case .reply(let id, .names(let names)):
            begin(PacketType.name, id)
            buffer.writeInteger(UInt32(names.count))
            for name in names {
                buffer.writeHandle(name.rawName)
                buffer.writeText("")
                buffer.writeAttributes(name.attributes)
            }
        case .reply(let id, .attributes(let attributes)):
            begin(PacketType.attributes, id)
            buffer.writeAttributes(attributes)
        case .reply(let id, .extended(let payload)):
            begin(PacketType.extendedReply, id)
            buffer.writeImmutableBuffer(payload)
        }
        return buffer
    }

    private static func attributes(from input: inout FuzzInput) -> FileAttributes {
        let which = input.byte()
        var attributes = FileAttributes()
        if which & 1 != 0 { attributes.size = input.integer() }
        if which & 2 != 0 { (attributes.uid, attributes.gid) = (input.integer(), input.integer()) }
        if which & 4 != 0 { attributes.permissions = input.integer() }
        if which & 8 != 0 {
            (attributes.accessTime, attributes.modificationTime) = (input.integer(), input.integer())
        }
        return attributes
    }

    private static func request(from input: inout FuzzInput) -> Request {
        switch input.byte() % 12 {
        case 0:
            .open(path: input.text(), flags: .init(rawValue: input.integer()), attributes: attributes(from: &input))
        case 1: .close(input.field())
        case 2: .read(input.field(), offset: input.integer(), length: input.integer())
        case 3: .write(input.field(), offset: input.integer(), data: ByteBuffer(bytes: input.rest()))
        case 4: .stat(input.text())
        case 5: .setstat(input.text(), attributes(from: &input))
        case 6: .fsetstat(input.field(), attributes(from: &input))
        case 7: .rename(from: input.text(), to: input.text())
        case 8: .symlink(target: input.text(), link: input.text())
        case 9: .mkdir(input.text(), attributes(from: &input))
        case 10: .readdir(input.field())
        default: .extended(name: input.text(), payload: ByteBuffer(bytes: input.rest()))
        }
    }

    private static func expectFields(of request: Request, in reader: inout PacketReader) throws(SFTPError) {
        func text(_ expected: String) throws(SFTPError) {
            let found = try reader.string("text", atMost: 4_096)
            expect(Array(found.readableBytesView) == Array(expected.utf8), "the text of \(request)")
        }
        func handle(_ expected: HandleBytes) throws(SFTPError) {
            let found = try reader.string("handle", atMost: PacketBounds.handle)
            expect(Array(found.readableBytesView) == expected, "the handle of \(request)")
        }
        func number<Number: FixedWidthInteger>(_ expected: Number) throws(SFTPError) {
            let found = try reader.integer(Number.self, "number")
            expect(found == expected, "a number of \(request)")
        }
        func attributes(_ expected: FileAttributes) throws(SFTPError) {
            let found = try reader.attributes()
            expect(found == expected, "the attributes of \(request)")
        }
        switch request {
        case .open(let path, let flags, let expected):
            try text(path)
            try number(flags.rawValue)
            try attributes(expected)
        case .close(let expected), .readdir(let expected), .fstat(let expected): try handle(expected)
        case .read(let expected, let offset, let length):
            try handle(expected)
            try number(offset)
            try number(length)
        case .write(let expected, let offset, let data):
            try handle(expected)
            try number(offset)
            let found = try reader.string("data", atMost: PacketBounds.packet)
            expect(found == data, "the data of \(request)")
        case .setstat(let path, let expected), .mkdir(let path, let expected):
            try text(path)
            try attributes(expected)
        case .fsetstat(let expected, let values):
            try handle(expected)
            try attributes(values)
        case .rename(let first, let second), .symlink(let first, let second):
            try text(first)
            try text(second)
        case .lstat(let path), .opendir(let path), .remove(let path), .rmdir(let path), .realpath(let path),
            .stat(let path), .readlink(let path):
            try text(path)
        case .extended(let name, let payload):
            try text(name)
            expect(reader.rest() == payload, "the payload of \(request)")
        }
    }
}
