// EventDocument: an event, or a snapshot in the same form, as streams show it.

import Core

/// What a stream's `data` field holds.
struct EventDocument: Encodable {
    private let type: String
    private let event: Event

    /// An event.
    init(_ event: Event) {
        type = event.kind.rawValue
        self.event = event
    }

    /// An upload as it stands: the same fields, under the type `snapshot`.
    init(snapshot upload: Upload) {
        type = "snapshot"
        event = Event(.uploadCreated, upload, at: upload.updatedAt)
    }

    private enum Key: String, CodingKey {
        case v, type, upload, owner, target, path, state, size, receivedBytes, shippedBytes, mergedBytes, error, at
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(Event.currentVersion, forKey: .v)
        try container.encode(type, forKey: .type)
        try container.encode(event.upload.description, forKey: .upload)
        try container.encode(event.owner.description, forKey: .owner)
        try container.encode(event.target.description, forKey: .target)
        try container.encode(event.path.description, forKey: .path)
        try container.encode(event.state.rawValue, forKey: .state)
        try container.encode(event.size, forKey: .size)
        try container.encode(event.receivedBytes, forKey: .receivedBytes)
        try container.encode(event.shippedBytes, forKey: .shippedBytes)
        try container.encode(event.mergedBytes, forKey: .mergedBytes)
        try container.encode(event.failure.map(FailureDocument.init), forKey: .error)
        try container.encode(event.at.description, forKey: .at)
    }
}
