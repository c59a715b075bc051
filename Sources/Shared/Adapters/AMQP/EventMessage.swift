// Events on the wire, as anybody may read them who binds a queue to the exchange.

public import Core

/// The JSON form of an event. Every field is always there; what is not known is null.
public enum EventMessage {
    private struct Form: Codable {
        struct Failure: Codable {
            var reason: String
            var detail: String
        }

        var v: Int
        var type: String
        var upload: String
        var owner: String
        var target: String
        var path: String
        var state: String
        var size: Int64?
        var receivedBytes: Int64
        var shippedBytes: Int64
        var mergedBytes: Int64
        var error: Failure?
        var at: String

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(v, forKey: .v)
            try container.encode(type, forKey: .type)
            try container.encode(upload, forKey: .upload)
            try container.encode(owner, forKey: .owner)
            try container.encode(target, forKey: .target)
            try container.encode(path, forKey: .path)
            try container.encode(state, forKey: .state)
            // As optionals they become null; `encodeIfPresent` would leave them out.
            try container.encode(size, forKey: .size)
            try container.encode(receivedBytes, forKey: .receivedBytes)
            try container.encode(shippedBytes, forKey: .shippedBytes)
            try container.encode(mergedBytes, forKey: .mergedBytes)
            try container.encode(error, forKey: .error)
            try container.encode(at, forKey: .at)
        }
    }

    /// The JSON text in UTF-8, on one line, so that it can be a line of an event stream too.
    public static func encode(_ event: Event) -> [UInt8] {
        MessageJSON.encode(
            Form(
                v: Event.currentVersion,
                type: event.kind.rawValue,
                upload: event.upload.description,
                owner: event.owner.description,
                target: event.target.description,
                path: event.path.description,
                state: event.state.rawValue,
                size: event.size,
                receivedBytes: event.receivedBytes,
                shippedBytes: event.shippedBytes,
                mergedBytes: event.mergedBytes,
                error: event.failure.map { .init(reason: $0.reason.rawValue, detail: $0.detail) },
                at: event.at.description
            )
        )
    }

    /// The event in JSON text; its time has milliseconds.
    public static func decode(_ body: [UInt8]) throws(MessageError) -> Event {
        let form = try MessageJSON.decode(Form.self, body, upTo: Event.currentVersion)
        var failure: Failure?
        if let error = form.error {
            failure = Failure(try field(FailureReason(rawValue: error.reason), "error"), error.detail)
        }
        return Event(
            kind: try field(Event.Kind(rawValue: form.type), "type"),
            upload: try field(UploadID(form.upload), "upload"),
            owner: try field(Owner(form.owner), "owner"),
            target: try field(TargetID(form.target), "target"),
            path: try field(try? TargetPath(form.path), "path"),
            state: try field(UploadState(rawValue: form.state), "state"),
            size: form.size,
            receivedBytes: form.receivedBytes,
            shippedBytes: form.shippedBytes,
            mergedBytes: form.mergedBytes,
            failure: failure,
            at: try field(Timestamp(rfc3339: form.at), "at")
        )
    }
}

extension Timestamp {
    /// Reads a point in time as RFC 3339 §5.6 writes it, with any offset; digits beyond microseconds are cut off.
    /// A leap second counts as the second after it.
    public init?(rfc3339 text: String) {
        var rest = Array(text.utf8)[...]
        func digits(_ count: Int, _ range: ClosedRange<Int64>) -> Int64? {
            let digits = rest.prefix(count)
            guard digits.count == count, digits.allSatisfy({ (48...57).contains($0) }) else { return nil }
            rest = rest.dropFirst(count)
            let value = digits.reduce(0) { $0 * 10 + Int64($1 - 48) }
            return range.contains(value) ? value : nil
        }
        func skip(_ characters: String) -> Bool {
            guard let first = rest.first, characters.utf8.contains(first) else { return false }
            rest = rest.dropFirst()
            return true
        }
        guard let year = digits(4, 0...9_999), skip("-"), let month = digits(2, 1...12), skip("-"),
            let day = digits(2, 1...31), skip("Tt"), let hour = digits(2, 0...23), skip(":"),
            let minute = digits(2, 0...59), skip(":"), let second = digits(2, 0...60)
        else { return nil }
        var fraction: Int64 = 0
        if skip(".") {
            let all = rest.prefix { (48...57).contains($0) }
            guard !all.isEmpty else { return nil }
            rest = rest.dropFirst(all.count)
            for place in 0..<6 {
                fraction = fraction * 10 + (place < all.count ? Int64(all[all.startIndex + place] - 48) : 0)
            }
        }
        var offset: Int64 = 0
        if !skip("Zz") {
            guard let sign = rest.first, skip("+-"), let hours = digits(2, 0...23), skip(":"),
                let minutes = digits(2, 0...59)
            else { return nil }
            offset = (hours * 60 + minutes) * 60 * (sign == UInt8(ascii: "-") ? -1 : 1)
        }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard rest.isEmpty, day <= lengths[Int(month) - 1] else { return nil }
        // Days since 1970-01-01 with years beginning on 1 March, so that the leap day comes last.
        let marchYear = month > 2 ? year : year - 1
        let era = (marchYear >= 0 ? marchYear : marchYear - 399) / 400
        let yearOfEra = marchYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset
        // An offset, or a leap second, can lead out of the years that four digits write.
        guard (-62_167_219_200...253_402_300_799).contains(seconds) else { return nil }
        self.init(microseconds: seconds * 1_000_000 + fraction)
    }
}
