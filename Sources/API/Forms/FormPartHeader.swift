// FormPartHeader: the header of one part of a multipart form.

/// What a part says about itself.
struct FormPartHeader: Hashable, Sendable {
    /// The field's name, as sent.
    let name: [UInt8]
    /// Whether it is a file. The file's own name is never used, so it may have any bytes.
    let isFile: Bool

    /// Reads header lines, each ended by CR LF.
    init(_ block: some Collection<UInt8>) throws(FormError) {
        var disposition: ParameterizedValue?
        var rest = ArraySlice(block)
        while !rest.isEmpty {
            let line = rest.prefix { $0 != 0x0D }
            rest = rest.dropFirst(line.count)
            guard rest.popFirst() == 0x0D, rest.popFirst() == 0x0A, !line.contains(0x0A), !line.contains(0) else {
                throw .malformed("a line of a part's header does not end with CR LF")
            }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
                line[..<colon].allSatisfy(ParameterizedValue.isToken)
            else { throw .malformed("a line of a part's header has no name and colon") }
            let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
            let value = line[line.index(after: colon)...]
            switch name {
            case "content-disposition":
                guard disposition == nil, let found = ParameterizedValue(value), found.value == "form-data" else {
                    throw .malformed("a part has no proper Content-Disposition: form-data")
                }
                disposition = found
            case "content-transfer-encoding":
                // Deprecated (RFC 7578 §4.7). What would have to be decoded is not stored as it is.
                let encoding = ParameterizedValue(value)?.value ?? ""
                guard ["binary", "7bit", "8bit"].contains(encoding) else {
                    throw .malformed("a part has a Content-Transfer-Encoding; send the bytes as they are")
                }
            default: continue
            }
        }
        guard let disposition, let field = disposition.parameters["name"], !field.isEmpty else {
            throw .malformed("a part has no Content-Disposition: form-data with a name")
        }
        guard field.count <= 256 else { throw .malformed("a field's name is over 256 bytes") }
        name = field
        isFile = disposition.parameters["filename"] != nil || disposition.parameters["filename*"] != nil
    }
}
