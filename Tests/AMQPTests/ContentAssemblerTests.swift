// Messages are put together from frames, and nothing else is taken for one.

import Testing

@testable import AMQP

@Suite struct ContentAssemblerTests {
    private let method = InboundFrame.Method.returned(code: 312, text: "", exchange: "", routingKey: "")
    private let empty = AMQPMessage(body: [])

    @Test func bodyInPieces() throws {
        var assembler = ContentAssembler(sizeLimit: 100)
        try assembler.begin(method)
        #expect(try assembler.header(empty, bodySize: 5) == nil)
        #expect(try assembler.body([1, 2]) == nil)
        #expect(try assembler.body([]) == nil)
        let content = try assembler.body([3, 4, 5])
        #expect(content?.message.body == [1, 2, 3, 4, 5])
        #expect(content?.method == method)
        try assembler.other()
    }

    @Test func noBodyFrameWithoutBytes() throws {
        var assembler = ContentAssembler(sizeLimit: 100)
        try assembler.begin(method)
        #expect(try assembler.header(empty, bodySize: 0)?.message.body == [])
        try assembler.begin(method)
    }

    @Test func disorderIsAViolation() throws {
        var assembler = ContentAssembler(sizeLimit: 4)
        #expect(throws: ContentAssembler.Violation.unexpectedHeader) { try assembler.header(empty, bodySize: 1) }
        #expect(throws: ContentAssembler.Violation.unexpectedBody) { try assembler.body([1]) }
        try assembler.begin(method)
        #expect(throws: ContentAssembler.Violation.methodWithinContent) { try assembler.begin(method) }
        #expect(throws: ContentAssembler.Violation.methodWithinContent) { try assembler.other() }
        #expect(throws: ContentAssembler.Violation.tooLarge(5)) { try assembler.header(empty, bodySize: 5) }
        #expect(throws: ContentAssembler.Violation.tooLarge(.max)) { try assembler.header(empty, bodySize: .max) }
        _ = try assembler.header(empty, bodySize: 4)
        #expect(throws: ContentAssembler.Violation.moreThanAnnounced) { try assembler.body([1, 2, 3, 4, 5]) }
    }
}
