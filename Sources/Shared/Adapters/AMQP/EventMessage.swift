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
