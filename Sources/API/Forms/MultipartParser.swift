// MultipartParser: takes a multipart/form-data body apart as it comes, and keeps nothing of a part's content.

import Glibc

/// A push parser of multipart/form-data (RFC 7578 §4, RFC 2046 §5.1.1): bytes go in as they come from the network, in any
/// pieces, and events come out.
///
/// It is stricter than RFC 2046, for no client needs more: nothing before the first boundary, nothing but one CR LF after
/// the last, no blanks after a boundary.
struct MultipartParser: Sendable {
    /// What was found.
    enum Event: Hashable, Sendable {
        /// A part begins; its content begins at this offset of the body.
        case part(FormPartHeader, at: Int64)
        /// The first so many bytes of the delimiter, at the end of earlier pieces, turned out to be content.
        case held(Int)
        /// These bytes of the piece are content.
        case content(Range<Int>)
        /// The part has ended.
        case endOfPart
        /// The last boundary has come.
        case end
    }

    private enum State: Hashable, Sendable {
        /// So many bytes of the first delimiter have come.
        case opening(Int)
        /// A delimiter has come; then the byte after it, if it has.
        case afterDelimiter(UInt8?)
        case header
        /// In content; so many bytes at its end may be the delimiter's.
        case content(held: Int)
        /// The last boundary has come; then so many bytes of CR LF.
        case closed(Int)
    }

    /// The most bytes that a part's header may have (8 KiB).
    static let maximumHeader = 8_192
    private static let lineEnd: [UInt8] = [0x0D, 0x0A]

    /// CR LF, two hyphens, the boundary.
    let delimiter: [UInt8]
    private var state = State.opening(2)
    private var header: [UInt8] = []
    private var position: Int64 = 0

    /// A parser for a body with this boundary, which must be well-formed (see `ParameterizedValue.boundary`).
    init(boundary: [UInt8]) { delimiter = Self.lineEnd + Array("--".utf8) + boundary }

    /// The bytes that follow the content of the last part: delimiter, two hyphens, CR LF.
    var tailLength: Int64 { Int64(delimiter.count + 4) }

    /// Takes the next piece of the body.
    mutating func take(_ piece: UnsafeRawBufferPointer) throws(FormError) -> [Event] {
        var events: [Event] = []
        var index = 0
        while index < piece.count {
            if case .content(let held) = state {
                index = content(piece, index, held: held, &events)
                continue
            }
            try take(piece[index], at: position + Int64(index), &events)
            index += 1
        }
        position += Int64(piece.count)
        return events
    }

    /// Says that nothing more comes.
    func finish() throws(FormError) {
        guard case .closed(let matched) = state, matched != 1 else {
            throw .malformed("the form ends before its last boundary")
        }
    }

    /// One byte outside of content.
    private mutating func take(_ byte: UInt8, at offset: Int64, _ events: inout [Event]) throws(FormError) {
        switch state {
        case .opening(let matched):
            guard byte == delimiter[matched] else { throw .malformed("the form does not begin with its boundary") }
            state = matched + 1 == delimiter.count ? .afterDelimiter(nil) : .opening(matched + 1)
        case .afterDelimiter(nil):
            guard byte == 0x0D || byte == UInt8(ascii: "-") else { throw Self.afterBoundary }
            state = .afterDelimiter(byte)
        case .afterDelimiter(UInt8(ascii: "-")):
            guard byte == UInt8(ascii: "-") else { throw Self.afterBoundary }
            state = .closed(0)
            events.append(.end)
        case .afterDelimiter:
            guard byte == 0x0A else { throw Self.afterBoundary }
            state = .header
            header = []
        case .header:
            header.append(byte)
            guard header.count <= Self.maximumHeader else { throw .tooLarge("a part's header has at most 8 KiB") }
            guard byte == 0x0A, header.count == 2 || header.suffix(4).elementsEqual(Self.lineEnd + Self.lineEnd) else {
                return
            }
            guard header.count > 2 || header == Self.lineEnd else { return }
            let found = try FormPartHeader(header.dropLast(2))
            header = []
            state = .content(held: 0)
            events.append(.part(found, at: offset + 1))
        case .closed(let matched):
            guard matched < 2, byte == Self.lineEnd[matched] else {
                throw .malformed("something follows the form's last boundary")
            }
            state = .closed(matched + 1)
        case .content: return
        }
    }

    private static var afterBoundary: FormError {
        .malformed("a boundary is followed by something else than CR LF or --")
    }

    /// Content from an index on, up to the piece's end or the end of a delimiter; answers where to go on.
    ///
    /// A carriage return is the delimiter's first byte and none of the others, so that after a mismatch only the byte that
    /// did not match can begin another.
    private mutating func content(
        _ piece: UnsafeRawBufferPointer,
        _ start: Int,
        held before: Int,
        _ events: inout [Event]
    ) -> Int {
        var matched = before
        var index = start
        while index < piece.count {
            if matched == 0 {
                guard let next = Self.carriageReturn(in: piece, from: index) else {
                    index = piece.count
                    break
                }
                index = next + 1
                matched = 1
                continue
            }
            if piece[index] == delimiter[matched] {
                index += 1
                matched += 1
                guard matched == delimiter.count else { continue }
                // What of the delimiter lies in this piece is no content.
                let end = max(start, index - matched)
                if start < end { events.append(.content(start..<end)) }
                events.append(.endOfPart)
                state = .afterDelimiter(nil)
                return index
            }
            // It was content after all: what lies in this piece goes with the rest, the older bytes by themselves.
            let older = matched - (index - start)
            if older > 0 { events.append(.held(older)) }
            matched = 0
        }
        let end = max(start, index - matched)
        if start < end { events.append(.content(start..<end)) }
        state = .content(held: matched)
        return piece.count
    }

    private static func carriageReturn(in piece: UnsafeRawBufferPointer, from index: Int) -> Int? {
        guard let base = piece.baseAddress, let found = memchr(base + index, 0x0D, piece.count - index) else {
            return nil
        }
        return base.distance(to: UnsafeRawPointer(found))
    }
}
