// Events on the wire, as anybody may read them who binds a queue to the exchange.

public import Core

/// The JSON form of an event. Every field is always there; what is not known is null.
public enum EventMessage {
    private struct Form: Decodable {
        struct Failure: Decodable {
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
    }

    /// The JSON text in UTF-8, on one line, so that it can be a line of an event stream too.
    public static func encode(_ event: Event) -> [UInt8] {
        var text = JSONLine()
        text.add("at", event.at.description)
        text.begin("error")
        if let failure = event.failure {
            text.nest { error in
                error.add("detail", failure.detail)
                error.add("reason", failure.reason.rawValue)
            }
        } else {
            text.addNull()
        }
        text.add("mergedBytes", event.mergedBytes)
        text.add("owner", event.owner.description)
        text.add("path", event.path.description)
        text.add("receivedBytes", event.receivedBytes)
        text.add("shippedBytes", event.shippedBytes)
        if let size = event.size {
            text.add("size", size)
        } else {
            text.begin("size")
            text.addNull()
        }
        text.add("state", event.state.rawValue)
        text.add("target", event.target.description)
        text.add("type", event.kind.rawValue)
        text.add("upload", event.upload.description)
        text.add("v", Int64(Event.currentVersion))
        return text.finish()
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
