// Forms, and the paths of the old interfaces.

internal import Core

@testable internal import API

extension FuzzTarget {
    /// What a multipart parser tells, put together; nil where it refuses.
    private static func read(_ pieces: [ArraySlice<UInt8>], _ boundary: [UInt8]) -> (parts: [[UInt8]], tail: Int64)? {
        var parser = MultipartParser(boundary: boundary)
        var parts: [[UInt8]] = []
        var isOver = false
        do {
            for piece in pieces {
                let bytes = Array(piece)
                let events = try bytes.withUnsafeBytes { try parser.take($0) }
                for event in events {
                    expect(!isOver, "nothing follows the end")
                    switch event {
                    case .part(let header, _):
                        expect(!header.name.isEmpty, "a part has a name")
                        parts.append([])
                    case .held(let count):
                        expect((1..<parser.delimiter.count).contains(count), "less than a delimiter is held")
                        parts[parts.count - 1] += parser.delimiter.prefix(count)
                    case .content(let range):
                        expect(
                            !range.isEmpty && bytes.indices.contains(range.upperBound - 1),
                            "content is in its piece"
                        )
                        parts[parts.count - 1] += bytes[range]
                    case .endOfPart: break
                    case .end: isOver = true
                    }
                }
            }
            try parser.finish()
        } catch { return nil }
        expect(isOver, "a form that is accepted has ended")
        return (parts, parser.tailLength)
    }

    /// A length of pieces, then a body: the pieces must make no difference; and any content without the boundary comes
    /// back, with its length known beforehand.
    static let multipartForm = FuzzTarget(name: "multipart-form") { input in
        var input = input
        let length = input.byte()
        let bytes = input.rest()
        let boundary = Array("b".utf8)
        let whole = read([bytes[...]], boundary)
        expect(read(bytes.pieces(of: length), boundary)?.parts == whole?.parts, "a form does not depend on its pieces")
        let delimiter = Array("\r\n--b".utf8)
        guard !contains(bytes, delimiter) else { return }
        let head = Array("--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n".utf8)
        let form = head + bytes + delimiter + Array("--\r\n".utf8)
        guard let found = read(form.pieces(of: length), boundary) else {
            expect(false, "a proper form is read")
            return
        }
        expect(found.parts == [bytes], "content comes back")
        expect(Int64(form.count - head.count) - found.tail == Int64(bytes.count), "its length was known")
    }

    private static func contains(_ bytes: [UInt8], _ pattern: [UInt8]) -> Bool {
        guard bytes.count >= pattern.count else { return false }
        return (0...(bytes.count - pattern.count)).contains { bytes[$0...].starts(with: pattern) }
    }

    /// An encoded form, and a header value with parameters.
    static let encodedForm = FuzzTarget(name: "encoded-form") { input in
        var input = input
        let bytes = input.rest()
        if let fields = try? URLEncodedForm.parse(bytes) {
            func escaped(_ text: String) -> String {
                text.utf8.map { byte in
                    let digits = String(byte, radix: 16)
                    return "%" + (digits.count == 1 ? "0" : "") + digits
                }.joined()
            }
            let again = fields.values.map { "\(escaped($0.key))=\(escaped($0.value))" }.joined(separator: "&")
            expect((try? URLEncodedForm.parse(again.utf8))?.values == fields.values, "what is escaped comes back")
            expect(fields.values.count <= FormFields.maximumCount, "fields are bounded")
        }
        guard let value = ParameterizedValue(bytes) else { return }
        expect(!value.value.isEmpty, "a value has something")
        if let boundary = value.boundary { expect((1...70).contains(boundary.count), "a boundary is bounded") }
    }

    /// A root, then an absolute path: what is accepted lies below the root, and comes back.
    static let fullPath = FuzzTarget(name: "full-path") { input in
        var input = input
        let rootText = "/" + input.text()
        let text = String(decoding: input.rest(), as: UTF8.self)
        let root = TargetRoot(rootText)
        guard let owner = Owner("o"), let target = TargetID("t") else { return }
        let joined = rootText + "/" + text
        for fullPath in [text, joined] {
            guard let path = try? root.path(of: fullPath) else { continue }
            let again = root.fullPath(of: path)
            expect((try? root.path(of: again)) == path, "an accepted path comes back")
            expect(!path.components.contains(".."), "nothing leads up")
            guard
                let file = try? FileAddress(target: target, root: root, fullPath: fullPath, owner: owner)
            else {
                expect(false, "an accepted path has an address")
                return
            }
            let id = UploadID(high: 1, low: 2)
            let temporary = file.temporaryPath(of: id, tag: "0123456789abcdef")
            expect(file.temporaryPath(temporary) == .upload(id, tag: "0123456789abcdef"), "a temporary path comes back")
            _ = file.temporaryPath(text)
        }
    }
}
