// The parsers of forms: what they read, however the bytes come in, and what they refuse.

import Core
import Testing

@testable import API

/// A form as a client writes it.
struct TestForm {
    var boundary = "a-boundary"
    var fields: [(name: String, value: String)] = []
    var file: [UInt8]?
    var fileComesFirst = false
    var end = "\r\n"

    var contentType: String { "multipart/form-data; boundary=\(boundary)" }

    var body: [UInt8] {
        var parts = fields.map { field in
            Array("Content-Disposition: form-data; name=\"\(field.name)\"\r\n\r\n\(field.value)".utf8)
        }
        if let file {
            let header = """
                Content-Disposition: form-data; name="file_info"; filename="blob"\r\n\
                Content-Type: application/octet-stream\r\n\r\n
                """
            parts.insert(Array(header.utf8) + file, at: fileComesFirst ? 0 : parts.count)
        }
        return parts.flatMap { Array("--\(boundary)\r\n".utf8) + $0 + Array("\r\n".utf8) }
            + Array("--\(boundary)--\(end)".utf8)
    }
}

/// What a parser tells, put together.
struct ReadForm: Equatable {
    var names: [String] = []
    var contents: [[UInt8]] = []
    var offsets: [Int64] = []
    var isOver = false

    /// Reads a body that comes in these pieces.
    init(_ pieces: [ArraySlice<UInt8>], boundary: String = "a-boundary") throws {
        var parser = MultipartParser(boundary: Array(boundary.utf8))
        for piece in pieces {
            let bytes = Array(piece)
            let events = try bytes.withUnsafeBytes { try parser.take($0) }
            for event in events {
                switch event {
                case .part(let header, let offset):
                    names.append(String(decoding: header.name, as: UTF8.self) + (header.isFile ? " (file)" : ""))
                    contents.append([])
                    offsets.append(offset)
                case .held(let count): contents[contents.count - 1] += parser.delimiter.prefix(count)
                case .content(let range): contents[contents.count - 1] += bytes[range]
                case .endOfPart: break
                case .end: isOver = true
                }
            }
        }
        try parser.finish()
    }
}

struct MultipartParserTests {
    /// Content that looks like a boundary again and again.
    private static let hostile: [UInt8] = Array(
        "\r\r\n\r\n-\r\n--\r\n--a\r\n--a-boundar\r\r\n--a-boundarx--a-boundary\n--a-boundary\r\n--a-b\r\n".utf8
    )

    @Test func aFormIsReadInWhateverPiecesItComes() throws {
        let form = TestForm(fields: [("host_id", "118"), ("empty", ""), ("ü", "\r\n")], file: Self.hostile)
        let body = form.body
        let whole = try ReadForm([body[...]])
        #expect(whole.names == ["host_id", "empty", "ü", "file_info (file)"])
        #expect(whole.contents == [Array("118".utf8), [], [13, 10], Self.hostile])
        #expect(whole.isOver)
        for (offset, content) in zip(whole.offsets, whole.contents) {
            #expect(Array(body[Int(offset)...].prefix(content.count)) == content)
        }
        for first in 0...body.count {
            #expect(try ReadForm([body[..<first], body[first...]]) == whole, "split at \(first)")
        }
        for length in 1...40 {
            let pieces = stride(from: 0, to: body.count, by: length).map { body[$0..<min($0 + length, body.count)] }
            #expect(try ReadForm(pieces) == whole, "pieces of \(length)")
        }
    }

    @Test func twoSplitsAnywhereInABoundaryMakeNoDifference() throws {
        let body = TestForm(fields: [("a", "\r\n--a-bound")], file: Array("x\r\n--a-boundar".utf8)).body
        let whole = try ReadForm([body[...]])
        for first in 0...body.count {
            for second in first...body.count {
                #expect(try ReadForm([body[..<first], body[first..<second], body[second...]]) == whole)
            }
        }
    }

    @Test func whatFollowsTheFileIsKnownBeforehand() throws {
        let file = Self.hostile
        let body = TestForm(fields: [("a", "b")], file: file).body
        let parser = MultipartParser(boundary: Array("a-boundary".utf8))
        let offset = try #require(try ReadForm([body[...]]).offsets.last)
        #expect(Int64(body.count) - offset - parser.tailLength == Int64(file.count))
    }

    @Test func theLastLineEndMayBeMissing() throws {
        #expect(try ReadForm([TestForm(fields: [("a", "b")], end: "").body[...]]).isOver)
    }

    private static let field = "Content-Disposition: form-data; name=\"a\"\r\n\r\nb"

    @Test(arguments: [
        "", "--", "--a-boundary", "--a-boundary\r\n", "--a-boundary\r\n\(field)", "--a-boundary\r\n\(field)\r\n",
        "--a-boundary\r\n\(field)\r\n--a-boundary", "--a-boundary\r\n\(field)\r\n--a-boundary-",
        // Only half of the last line end, more than it, and an epilogue.
        "--a-boundary\r\n\(field)\r\n--a-boundary--\r", "--a-boundary\r\n\(field)\r\n--a-boundary--\r\n\r",
        "--a-boundary\r\n\(field)\r\n--a-boundary--\r\nbye", "--a-boundary\r\n\(field)\r\n--a-boundary-- ",
        "--a-boundary--\n",
        // A preamble, another boundary, blanks or more after the boundary.
        "hello\r\n--a-boundary\r\n\(field)\r\n--a-boundary--", "\r\n--a-boundary\r\n\(field)\r\n--a-boundary--",
        "--b-boundary\r\n\(field)\r\n--b-boundary--", "--a-boundary \r\n\(field)\r\n--a-boundary--",
        "--a-boundary\r\n\(field)\r\n--a-boundaryx\r\n--a-boundary--", "--a-boundary\n\(field)\n--a-boundary--",
        // Headers.
        "--a-boundary\r\n\r\nb\r\n--a-boundary--", "--a-boundary\r\nno colon\r\n\r\nb\r\n--a-boundary--",
        "--a-boundary\r\nContent-Type: text/plain\r\n\r\nb\r\n--a-boundary--",
        "--a-boundary\r\nContent-Disposition: form-data\r\n\r\nb\r\n--a-boundary--",
        "--a-boundary\r\nContent-Disposition: form-data; name=\"\"\r\n\r\nb\r\n--a-boundary--",
        "--a-boundary\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nb\r\n--a-boundary--",
        "--a-boundary\r\nContent-Disposition: form-data; name=\"a\r\n\r\nb\r\n--a-boundary--",
        "--a-boundary\r\nContent-Disposition: form-data; name=\"a\"; name=\"b\"\r\n\r\nb\r\n--a-boundary--",
        "--a-boundary\r\nContent-Disposition: form-data;\r\n name=\"a\"\r\n\r\nb\r\n--a-boundary--",
        "--a-boundary\r\nContent-Disposition : form-data; name=\"a\"\r\n\r\nb\r\n--a-boundary--",
        "--a-boundary\r\n\(field.prefix(40))\r\nContent-Transfer-Encoding: base64\r\n\r\nb\r\n--a-boundary--",
    ])
    func aMalformedFormIsRefused(_ body: String) {
        let bytes = Array(body.utf8)
        #expect(throws: FormError.self) { _ = try ReadForm([bytes[...]]) }
        #expect(throws: FormError.self) { _ = try ReadForm(bytes.indices.map { bytes[$0...$0] }) }
    }

    @Test func aHeaderHasABound() {
        let long = String(repeating: "x", count: MultipartParser.maximumHeader)
        let body = Array("--a-boundary\r\nX: \(long)\r\n\r\nb\r\n--a-boundary--".utf8)
        #expect { _ = try ReadForm([body[...]]) } throws: { ($0 as? FormError)?.kind == .tooLarge }
    }

    @Test func aFilesOwnNameMayBeAnything() throws {
        let header =
            Array("Content-Disposition: form-data; name=file_info; filename=\"".utf8)
            + [0xFF, 0xFE, 0x5C, 0x22] + Array("\"; filename*=UTF-8''x\r\n\r\nb".utf8)
        let body = Array("--a-boundary\r\n".utf8) + header + Array("\r\n--a-boundary--\r\n".utf8)
        let form = try ReadForm([body[...]])
        #expect(form.names == ["file_info (file)"] && form.contents == [[0x62]])
    }
}

struct FormFieldTests {
    private func read(_ text: String) -> FormFields? { try? URLEncodedForm.parse(text.utf8) }

    @Test func anEncodedFormIsRead() {
        let form = read("host_id=118&full_path=%2Fsrv%2fa+b%2B%C3%A9&empty=&bare&&x==")
        #expect(form?["host_id"] == "118" && form?["full_path"] == "/srv/a b+é")
        #expect(form?["empty"] == "" && form?["bare"] == "" && form?["x"] == "=" && form?["none"] == nil)
        #expect(read("")?.values.isEmpty == true)
    }

    @Test(arguments: ["a=%", "a=%2", "a=%2g", "a=%g2", "%=1", "a=%FF", "%C3=1", "a=1&a=1", "a=1&%61=2"])
    func aMalformedEncodedFormIsRefused(_ text: String) { #expect(read(text) == nil) }

    @Test func fieldsAreBounded() throws {
        let many = (0...FormFields.maximumCount).map { "f\($0)=1" }.joined(separator: "&")
        #expect(read(many) == nil)
        #expect(read("a=" + String(repeating: "x", count: FormFields.maximumBytes - 1)) != nil)
        #expect(read("a=" + String(repeating: "x", count: FormFields.maximumBytes)) == nil)
    }

    @Test func queryAndBodyMustNotContradict() throws {
        var fields = try URLEncodedForm.parse("a=1&b=2".utf8)
        try fields.merge(try URLEncodedForm.parse("b=2&c=3".utf8))
        #expect(fields["a"] == "1" && fields["b"] == "2" && fields["c"] == "3")
        #expect(throws: FormError.self) { try fields.merge(try URLEncodedForm.parse("c=4".utf8)) }
    }

    @Test func parametersAreRead() {
        func parse(_ text: String) -> ParameterizedValue? { ParameterizedValue(text.utf8) }
        #expect(
            parse("Multipart/Form-Data; Boundary=\"a b\\\"c\" ; x=y;")?.parameters["boundary"] == Array("a b\"c".utf8)
        )
        #expect(parse("Multipart/Form-Data;boundary=x")?.value == "multipart/form-data")
        for text in [
            "", ";a=b", "a b", "a; b", "a; =b", "a; b=", "a; b=\"c", "a; b=\"c\\", "a; b=\"c\"d", "a; b=1; B=2",
        ] {
            #expect(parse(text) == nil, "\(text)")
        }
        #expect(parse("a/b; boundary=x")?.boundary == Array("x".utf8))
        for text in [
            "a/b", "a/b; boundary=\"\"", "a/b; boundary=\"x \"", "a/b; boundary=\"x\u{E9}\"",
            "a/b; boundary=" + String(repeating: "x", count: 71),
        ] {
            #expect(parse(text)?.boundary == nil, "\(text)")
        }
    }
}
