// RequestScope: what belongs to one request while it is served.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore
import Synchronization

/// What is noted about a request on its way through, for the log and the metrics.
final class RequestRecord: Sendable {
    private struct Notes {
        var bytes: Int64 = 0
        var owner: Owner?
    }

    private let notes = Mutex(Notes())

    /// Body bytes that were taken.
    var bytes: Int64 { notes.withLock { $0.bytes } }
    /// Who asked, once known.
    var owner: Owner? { notes.withLock { $0.owner } }

    func received(bytes: Int) { notes.withLock { $0.bytes += Int64(bytes) } }
    func asked(by owner: Owner) { notes.withLock { $0.owner = owner } }
}

/// The context that Hummingbird hands through middleware and routes.
struct RequestScope: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// The connection.
    let channel: any Channel
    /// The request's identifier, the client's own where it sent a sane one.
    var requestID = ""
    /// What is noted about it.
    let record = RequestRecord()

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// Tells a client that waits for it to send its body (RFC 9110 §10.1.1). Called once the request has been found
    /// good, so that a bad one is refused before a byte of its body travels.
    func expectBody(of request: Request) {
        guard request.headers[.expect] != nil else { return }
        channel.triggerUserOutboundEvent(BodyWelcome(), promise: nil)
    }
}
