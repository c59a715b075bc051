// Owner of one handle on the server.

internal import Synchronization

/// A handle the server gave; it is given back once, at the latest when its last user lets go of it.
final class OpenHandle: Sendable {
    let bytes: HandleBytes
    private let mailbox: SessionMailbox
    private let path: String
    private let isClosed = Atomic(false)

    init(_ bytes: HandleBytes, mailbox: SessionMailbox, path: String) {
        self.bytes = bytes
        self.mailbox = mailbox
        self.path = path
    }

    deinit { release() }

    /// Gives the handle back without waiting for the server's word.
    func release() {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        mailbox.submit(submission(to: NoReceiver.shared))
    }

    /// The same with other requests; a second time it does nothing.
    func release(in breath: inout Breath) {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        breath.add(submission(to: NoReceiver.shared))
    }

    /// Gives the handle back with other requests; nil a second time.
    func close(in breath: inout Breath) -> OneShot<Reply>? {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return nil }
        let reply = OneShot<Reply>()
        breath.add(submission(to: reply))
        return reply
    }

    private func submission(to receiver: any ReplyReceiver) -> Submission {
        Submission(request: .close(bytes), operation: "close", path: path, receiver: receiver)
    }

    /// The handle's bytes, while it is open.
    func open() throws(SFTPError) -> HandleBytes {
        guard !isClosed.load(ordering: .relaxed) else { throw .invalidArgument("\(path) is closed") }
        return bytes
    }

    /// Gives the handle back and waits for the server's word; a second call does nothing.
    func close() async throws(SFTPError) {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        let reply = OneShot<Reply>()
        mailbox.submit(submission(to: reply))
        _ = try await reply.value()
    }
}
