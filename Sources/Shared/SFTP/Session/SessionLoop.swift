// What a session's thread does: submissions out, replies in, until the session ends.

internal import Glibc
internal import NIOCore
internal import Synchronization

/// The loop of one SFTP session. Lives and dies on its thread; knows its callers only through the mailbox.
final class SessionLoop {
    private let mailbox: SessionMailbox
    private let transport: any SSHTransport
    private let requestTimeout: Duration
    private let keepAlive: Duration?

    private var table = RequestTable<(receiver: any ReplyReceiver, tag: Int)>()
    private var outbound: OutboundQueue
    private var framer = PacketFramer()
    private var batch: [Submission] = []
    private var interests: [pollfd] = []
    /// When bytes last went out or a reply came in.
    private var lastProgress = ContinuousClock.now
    /// Whether an answer may come that nobody waits for.
    private var ignoresLimits = false
    private var settledRequests = 0
    private var settledBytes = 0

    /// The request that asks for limits, before there are others.
    private static let limitsID = UInt32.max
    /// SSH packets sent before replies are looked at again.
    private static let writesPerTurn = 16
    private static let readsPerTurn = 64
    /// A request unanswered for this many time-outs fails the session even if others are answered.
    private static let hardLimitFactor = 10

    init(mailbox: SessionMailbox, transport: any SSHTransport, requestTimeout: Duration, keepAlive: Duration?) {
        self.mailbox = mailbox
        self.transport = transport
        self.requestTimeout = requestTimeout
        self.keepAlive = keepAlive
        outbound = OutboundQueue(pieceLength: transport.pieceLength)
    }

    // MARK: Opening

    /// Exchanges versions and asks for the server's limits.
    func initialize(_ wait: OpeningWait) throws(SFTPError) -> ServerCapabilities {
        let id = Self.limitsID
        let limits = Request.extended(name: SFTPExtension.limits, payload: ByteBuffer()).encoded(id: id).head
        outbound.append(Request.initialization(version: 3))
        // OpenSSH answers what it does not know, too: the one trip need not wait for the other.
        let isAsked = transport.facts.isOpenSSH
        if isAsked { outbound.append(limits) }
        guard case .version(let version, let extensions) = try exchange(wait) else {
            throw .protocolViolation("no version in answer to the first packet")
        }
        guard version >= 3 else { throw .protocolViolation("protocol version \(version)") }
        var capabilities = ServerCapabilities(
            version: version,
            extensions: extensions,
            limits: nil,
            transport: transport.facts
        )
        guard capabilities.supports(SFTPExtension.limits) else {
            // Behind OpenSSH there may be somebody else, who may not answer at all.
            ignoresLimits = isAsked
            return capabilities
        }
        if !isAsked { outbound.append(limits) }
        guard case .reply(id, let reply) = try exchange(wait) else {
            throw .protocolViolation("reply to a request never sent")
        }
        if case .extended(let payload) = reply {
            var reader = PacketReader(payload)
            capabilities.limits = ServerLimits(
                maxPacket: try reader.integer(UInt64.self, "packet limit"),
                maxRead: try reader.integer(UInt64.self, "read limit"),
                maxWrite: try reader.integer(UInt64.self, "write limit"),
                maxHandles: try reader.integer(UInt64.self, "handle limit")
            )
        }
        return capabilities
    }

    private func exchange(_ wait: OpeningWait) throws(SFTPError) -> InboundPacket {
        while true {
            _ = try pumpOut()
            _ = try pumpIn()
            if let packet = try framer.next() { return try InboundPacket(decoding: packet) }
            interests.removeAll(keepingCapacity: true)
            transport.addInterests(to: &interests)
            guard let first = interests.first else { throw .closed }
            guard try wait.poll(first.fd, for: first.events) else {
                throw .timedOut(operation: "start of the sftp subsystem")
            }
        }
    }

    // MARK: Running

    /// Serves the mailbox until the session ends; everybody who waits has been told when it returns.
    func run() {
        let reason: SFTPError
        do throws(SFTPError) {
            lastProgress = .now
            reason = try serve()
        } catch {
            reason = error
        }
        // First nobody may submit any more, then those who wait are told.
        mailbox.finish(reason)
        for delivery in table.end(reason) {
            _ = delivery.receiver.receiver.receive(delivery.result, tag: delivery.receiver.tag)
        }
    }

    private func serve() throws(SFTPError) -> SFTPError {
        while true {
            batch.removeAll(keepingCapacity: true)
            if mailbox.take(into: &batch, limit: RequestTable<Void>.capacity - table.count) { return .closed }
            for submission in batch { begin(submission) }
            let hasSent = try pumpOut()
            let hasReceived = try pumpIn()
            if hasReceived {
                while let packet = try framer.next() { try handle(packet) }
            }
            settle()
            if hasSent || hasReceived {
                lastProgress = .now
                continue
            }
            try sleep()
        }
    }

    private func begin(_ submission: Submission) {
        let request = submission.request
        if request.mayBeSkipped, submission.receiver.isAbandoned {
            settledRequests += 1
            settledBytes += request.dataLength
            return
        }
        if table.isEmpty, outbound.isEmpty { lastProgress = .now }
        let id = table.begin(
            .init(
                expectation: request.expectation,
                operation: submission.operation,
                path: submission.path,
                receiver: (submission.receiver, submission.tag),
                bytes: request.dataLength,
                begun: .now
            )
        )
        let (head, data) = request.encoded(id: id)
        outbound.append(head)
        if let data { outbound.append(data) }
    }

    private func pumpOut() throws(SFTPError) -> Bool {
        var hasSent = false
        for _ in 0..<Self.writesPerTurn where !outbound.isEmpty {
            let count = try outbound.offer { (bytes) throws(SFTPError) in try transport.write(bytes) }
            if count == 0 { break }
            hasSent = true
        }
        return hasSent
    }

    private func pumpIn() throws(SFTPError) -> Bool {
        for turn in 0..<Self.readsPerTurn {
            let outcome = try framer.fill { (room) throws(SFTPError) in
                let outcome = try transport.read(into: room)
                if case .bytes(let count) = outcome { return (count, outcome) }
                return (0, outcome)
            }
            switch outcome {
            case .bytes:
                // A whole large packet is handed on before the next is read.
                if framer.holdsPacket { return true }
            case .wouldBlock: return turn > 0
            case .end(let reason): throw .disconnected(reason: reason, operation: "session")
            }
        }
        return true
    }

    private func handle(_ packet: ByteBuffer) throws(SFTPError) {
        guard case .reply(let id, let reply) = try InboundPacket(decoding: packet) else {
            throw .protocolViolation("a second version packet")
        }
        if ignoresLimits, id == Self.limitsID {
            ignoresLimits = false
            return
        }
        let delivery = try table.answer(id: id, with: reply)
        settledRequests += 1
        settledBytes += delivery.bytes
        if case .data(let data) = reply {
            mailbox.transferred.wrappingAdd(UInt64(data.readableBytes), ordering: .relaxed)
        } else if delivery.bytes > 0 {
            mailbox.transferred.wrappingAdd(UInt64(delivery.bytes), ordering: .relaxed)
        }
        let isTaken = delivery.receiver.receiver.receive(delivery.result, tag: delivery.receiver.tag)
        if !isTaken, case .success(.handle(let handle)) = delivery.result {
            // The caller of this open is gone; the server's handle is ours to give back.
            begin(Submission(request: .close(handle), operation: "close", path: "", receiver: NoReceiver.shared))
            settledRequests -= 1
        }
    }

    private func settle() {
        guard settledRequests != 0 || settledBytes > 0 else { return }
        mailbox.settle(requests: settledRequests, bytes: settledBytes)
        settledRequests = 0
        settledBytes = 0
    }

    // MARK: Waiting

    private func sleep() throws(SFTPError) {
        let now = ContinuousClock.now
        let silence = lastProgress.duration(to: now)
        var longest = Duration.seconds(3600)
        if !table.isEmpty || !outbound.isEmpty {
            guard silence < requestTimeout else { throw .timedOut(operation: table.oldest?.operation ?? "write") }
            if let oldest = table.oldest, oldest.begun.duration(to: now) > requestTimeout * Self.hardLimitFactor {
                throw .timedOut(operation: oldest.operation)
            }
            longest = min(requestTimeout - silence, .seconds(5))
        } else if let keepAlive {
            if silence >= keepAlive {
                begin(
                    Submission(
                        request: .realpath("."),
                        operation: "keep-alive",
                        path: ".",
                        receiver: NoReceiver.shared
                    )
                )
                settledRequests -= 1
                return
            }
            longest = keepAlive - silence
        }
        guard mailbox.fallAsleep(withRoom: table.hasRoom) else { return }
        defer { mailbox.wakeUp() }
        interests.removeAll(keepingCapacity: true)
        interests.append(pollfd(fd: mailbox.wakeup.descriptor, events: CShort(POLLIN), revents: 0))
        transport.addInterests(to: &interests)
        let count = poll(&interests, nfds_t(interests.count), longest.pollMilliseconds)
        if count < 0, errno != EINTR {
            throw .disconnected(reason: "poll: \(systemMessage(errno))", operation: "session")
        }
        if interests[0].revents != 0 { mailbox.wakeup.clear() }
    }
}

/// The receiver of replies that nobody waits for.
final class NoReceiver: ReplyReceiver {
    static let shared = NoReceiver()
    func receive(_ result: Result<Reply, SFTPError>, tag: Int) -> Bool { true }
    var isAbandoned: Bool { false }
}

extension OneShot: ReplyReceiver where Value == Reply {
    func receive(_ result: Result<Reply, SFTPError>, tag: Int) -> Bool { deliver(result) }
}
