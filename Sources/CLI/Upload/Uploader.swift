// One file's way into Ferry: create or resume, send what is missing, complete, and watch it arrive.

internal import Core
internal import Foundation
internal import NIOCore

/// Uploads a file.
struct Uploader: Sendable {
    let client: FerryClient
    let parallel: Int
    /// How long nothing may go forward before it is given up.
    var patience = Duration.seconds(600)
    private let notices = WaitNotices()

    /// The most that parts on their way hold, in bytes.
    private static let memory: Int64 = 64 << 20

    init(client: FerryClient, parallel: Int) {
        self.client = client
        self.parallel = parallel
    }

    /// Sends the file and asks for the end. Answers the upload as it was accepted, and whether it had been begun
    /// before.
    func send(
        _ file: LocalFile,
        to path: String,
        on target: String,
        overwrite: Bool,
        declaresDigest: Bool,
        attributes: FinalAttributes,
        bars: (UploadView) -> ProgressBars
    ) async throws -> (upload: UploadView, bars: ProgressBars) {
        let body = FerryClient.CreateBody(
            target: target,
            path: path,
            size: file.size,
            overwrite: overwrite ? "replace" : "never",
            fingerprint: file.fingerprint,
            mode: attributes.mode?.description,
            modifiedAt: attributes.modifiedAt?.description
        )
        let created = try await persistently { try await client.create(body).upload }
        // The list of parts is only in the answer about one upload.
        let upload = try await persistently { try await client.upload(created.id) }
        let bars = bars(upload)
        bars.update(force: true) { progress in
            progress.received = upload.receivedBytes
            progress.shipped = upload.shippedBytes
            progress.receivedBefore = upload.receivedBytes
            progress.shippedBefore = upload.shippedBytes
            progress.state = upload.state
        }
        // Each part is sent with its digest. What came another time was another run's to read: then the file is hashed
        // whole as well, while it is sent, and what is on the disk and what arrives are compared in the end.
        let isOpen = upload.state == "receiving" || upload.state == "failed"
        let isResumed = isOpen && upload.receivedBytes > 0
        async let digest = declaresDigest || isResumed || upload.digest != nil ? file.sha256() : nil
        if isOpen { try await sendMissing(of: file, upload, bars) }
        let sha256 = try await digest?.hex
        try expectUnchanged(file)
        let completion = try await persistently(bars, butFor: "different-content") {
            try await client.complete(upload.id, sha256: sha256)
        }
        switch completion {
        case .success(let accepted): return (accepted, bars)
        case .failure(let refusal):
            // Its end was asked for before, without a digest, and none can be added. Otherwise it has another one.
            let now = try await persistently(bars) { try await client.upload(upload.id) }
            guard sha256 != nil, now.digest == nil else { throw refusal.failure }
            guard !declaresDigest else {
                let text = "upload \(now.id) was sent before, without the file's digest; without --digest it goes on"
                throw CommandFailure(.conflict, text)
            }
            return (try await persistently(bars) { try await client.complete(upload.id, sha256: nil) }, bars)
        }
    }

    private func expectUnchanged(_ file: LocalFile) throws(CommandFailure) {
        guard !file.isUnchanged else { return }
        throw CommandFailure(.failed, "\(file.path) was changed while it was sent; run the command again")
    }

    private func sendMissing(of file: LocalFile, _ upload: UploadView, _ bars: ProgressBars) async throws {
        let layout = PartLayout(partSize: upload.partSize, size: file.size)
        guard let count = layout.count, let present = PartRanges.numbers(upload.receivedParts ?? "") else {
            throw CommandFailure(.failed, "the server's list of parts cannot be read")
        }
        var missing = (count == 0 ? [] : Array(1...count)).filter { !present.contains($0) }[...]
        try await withThrowingTaskGroup { group in
            for _ in 0..<parallel {
                guard let number = missing.popFirst() else { break }
                group.addTask { try await self.send(number, of: file, layout, upload.id, bars) }
            }
            while try await group.next() != nil {
                guard let number = missing.popFirst() else { continue }
                group.addTask { try await self.send(number, of: file, layout, upload.id, bars) }
            }
        }
    }

    private func send(
        _ number: Int64,
        of file: LocalFile,
        _ layout: PartLayout,
        _ id: String,
        _ bars: ProgressBars
    ) async throws {
        guard let offset = layout.offset(of: number), let length = layout.sizes(of: number)?.upperBound else { return }
        // All parts that are on their way together.
        let isHeld = length <= Self.memory / Int64(parallel)
        for attempt in 1... {
            let sending = try await persistently(bars, butFor: "digest-mismatch") {
                let part = try await file.part(at: offset, count: length, isHeld: isHeld)
                try await client.put(part: number, of: id, length: length, digest: part.digest, body: part.pieces)
            }
            guard case .failure(let refusal) = sending else { break }
            // Bytes that were changed on their way are sent again, but not for ever.
            try expectUnchanged(file)
            guard attempt < 5 else { throw refusal.failure }
        }
        bars.update { $0.received = max($0.received, 0) + length }
    }

    /// Follows an upload until nothing more happens by itself.
    func follow(_ id: String, _ bars: ProgressBars) async throws -> UploadView {
        while true {
            let upload = try await persistently(bars) { try await client.upload(id) }
            if upload.isSettled {
                bars.update(force: true) { progress in
                    progress.shipped = upload.shippedBytes
                    progress.state = upload.state
                }
                return upload
            }
            // Events show the way; a stream that breaks is begun again with a look at the state.
            _ = try? await client.events(of: id) { event, _ in
                bars.update { progress in
                    progress.received = max(progress.received, event.receivedBytes)
                    progress.shipped = event.shippedBytes
                    progress.state = event.state
                }
                return !["done", "cancelled", "expired", "failed"].contains(event.state)
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    /// Shows what is shipped while parts are still being sent.
    func show(_ id: String, _ bars: ProgressBars) async {
        while !Task.isCancelled {
            _ = try? await client.events(of: id) { event, _ in
                bars.update { progress in
                    progress.shipped = event.shippedBytes
                    progress.state = event.state
                }
                return true
            }
            try? await Task.sleep(for: .seconds(1))
        }
    }

    /// The same, but one problem is the caller's to handle.
    private func persistently<Answer>(
        _ bars: ProgressBars,
        butFor problem: String,
        _ request: () async throws -> Answer
    ) async throws -> Result<Answer, FerryClient.Refusal> {
        try await persistently(bars) {
            do {
                let answer = try await request()
                return .success(answer)
            } catch let refusal as FerryClient.Refusal where refusal.problem.name == problem {
                return .failure(refusal)
            }
        }
    }

    /// Runs a request again for as long as it may succeed: as the server says, else with a doubling delay.
    private func persistently<Answer>(
        _ bars: ProgressBars? = nil,
        _ request: () async throws -> Answer
    ) async throws -> Answer {
        let start = ContinuousClock.now
        var delay = Duration.milliseconds(250)
        while true {
            let reason: String
            var wait = delay
            var isLasting = false
            do {
                return try await request()
            } catch let refusal as FerryClient.Refusal {
                guard refusal.isTransient else { throw refusal.failure }
                reason = refusal.text
                wait = refusal.retryAfter ?? delay
                // It is full for longer than a moment, and somebody may do something about it.
                isLasting = refusal.problem.name == "staging-full"
            } catch let failure as CommandFailure {
                throw failure
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                try Task.checkCancellation()
                reason = "\(client.url): \(words(for: error))"
            }
            let passed = start.duration(to: .now)
            guard passed < patience else {
                throw CommandFailure(.unavailable, "gave up: \(Terminal.plain(reason))")
            }
            if isLasting || passed > WaitNotices.silence {
                notices.waiting(Terminal.plain(reason), wait: wait, end: patience - passed, bars)
            }
            try await Task.sleep(for: wait * Double.random(in: 0.75...1.25))
            delay = min(delay * 2, .seconds(10))
        }
    }
}
