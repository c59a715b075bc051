// A client at work: it does what was planned, and writes down what it was answered.

import Foundation
import NIOHTTP1

/// Sends planned uploads through the balancer.
struct Sender: Sendable {
    let clients: [PlannedUpload.Owner: FerryClient]
    let ledger: Ledger
    /// How long one request is tried.
    var patience = Duration.seconds(75)

    /// Does one upload to its end; what happens is in the ledger.
    func send(_ upload: PlannedUpload) async {
        guard let client = clients[upload.owner] else { return }
        do {
            switch upload.way {
            case .oneRequest: try await sendWhole(upload, client)
            case .parts(let order): try await sendParts(upload, order, client)
            }
            if case .afterAcknowledgement(let milliseconds) = upload.cancel {
                try await Task.sleep(for: .milliseconds(milliseconds))
                try await cancel(upload, client)
            }
        } catch {
            ledger.change(upload.number) { $0.gaveUp = "\(error)" }
        }
    }

    private func sendWhole(_ upload: PlannedUpload, _ client: FerryClient) async throws {
        let bytes = upload.bytes
        var headers = [("Idempotency-Key", key(upload)), ("Overwrite", upload.replaces ? "replace" : "never")]
        if upload.declaresDigest { headers.append(("Content-Digest", contentDigest(bytes[...]))) }
        let answer = try await client.persist(patience, ledger, "file \(upload.path)") {
            try await client.send(
                .PUT,
                "/v1/files/\(upload.target)/\(upload.path)",
                bytes: bytes[...],
                headers: headers
            )
        }
        guard [200, 201, 202].contains(answer.status) else { throw refused("file", answer) }
        ledger.acknowledge(part: 1, of: upload.number)
        ledger.change(upload.number) {
            $0.identifier = answer.text("id")
            $0.isAcknowledged = true
        }
    }

    private func sendParts(_ upload: PlannedUpload, _ order: [Int], _ client: FerryClient) async throws {
        let bytes = upload.bytes
        let identifier = try await create(upload, client, bytes)
        for (index, number) in order.enumerated() {
            if case .afterParts(let count) = upload.cancel, index >= count { return try await cancel(upload, client) }
            try await put(number, of: upload, identifier, client, bytes)
        }
        if case .afterParts = upload.cancel { return try await cancel(upload, client) }
        try await complete(upload, identifier, client, bytes)
    }

    /// Creates an upload and answers its identifier.
    func create(_ upload: PlannedUpload, _ client: FerryClient, _ bytes: [UInt8]) async throws -> String {
        var fields: [String: any Sendable] = [
            "target": upload.target, "path": upload.path, "size": upload.size, "partSize": upload.partSize,
            "overwrite": upload.replaces ? "replace" : "never",
        ]
        if upload.declaresDigest { fields["digest"] = ["sha-256": Digest.sha256Hex(bytes)] }
        let answer = try await client.persist(patience, ledger, "create \(upload.path)") { [fields] in
            try await client.send(.POST, "/v1/uploads", json: fields, headers: [("Idempotency-Key", key(upload))])
        }
        guard [200, 201].contains(answer.status) else { throw refused("create", answer) }
        let identifier = answer.text("id")
        ledger.change(upload.number) { $0.identifier = identifier }
        return identifier
    }

    func put(
        _ number: Int,
        of upload: PlannedUpload,
        _ identifier: String,
        _ client: FerryClient,
        _ bytes: [UInt8]
    ) async throws {
        let part = bytes[upload.range(ofPart: number)]
        let headers = upload.declaresPartDigests ? [("Content-Digest", contentDigest(part))] : []
        let answer = try await client.persist(patience, ledger, "part \(number) of \(upload.path)") {
            try await client.send(.PUT, "/v1/uploads/\(identifier)/parts/\(number)", bytes: part, headers: headers)
        }
        guard [200, 201].contains(answer.status) else { throw refused("part \(number)", answer) }
        ledger.acknowledge(part: number, of: upload.number)
    }

    /// Completes; parts that were lost meanwhile are sent again.
    func complete(
        _ upload: PlannedUpload,
        _ identifier: String,
        _ client: FerryClient,
        _ bytes: [UInt8]
    ) async throws {
        let fields: [String: any Sendable] =
            upload.declaresDigest ? ["digest": ["sha-256": Digest.sha256Hex(bytes)]] : [:]
        for _ in 0..<10 {
            let answer = try await client.persist(patience, ledger, "complete \(upload.path)") {
                try await client.send(.POST, "/v1/uploads/\(identifier)/complete", json: fields)
            }
            if answer.status == 202 { return ledger.change(upload.number) { $0.isAcknowledged = true } }
            guard answer.problem == "parts-missing" else { throw refused("complete", answer) }
            for number in PartNumbers.parse(answer.text("missing")) {
                ledger.countRepeat()
                try await put(number, of: upload, identifier, client, bytes)
            }
        }
        throw GaveUp(description: "complete \(upload.path): parts are missing again and again")
    }

    /// Gives an upload up.
    func cancel(_ upload: PlannedUpload, _ client: FerryClient) async throws {
        guard let identifier = ledger.promise(upload.number)?.identifier else { return }
        ledger.change(upload.number) { $0.cancel = .open }
        let answer = try await client.persist(patience, ledger, "cancel \(upload.path)") {
            try await client.send(.DELETE, "/v1/uploads/\(identifier)")
        }
        switch answer.status {
        case 202: ledger.change(upload.number) { $0.cancel = .accepted }
        // 410 says that it had ended: done, for nobody else cancels.
        case 409, 410: ledger.change(upload.number) { $0.cancel = .refused }
        default: throw refused("cancel", answer)
        }
    }

    /// Sends again what a failed upload misses.
    func mend(_ promise: Promise) async throws {
        guard let client = clients[promise.upload.owner], let identifier = promise.identifier else { return }
        let state = try await client.send(.GET, "/v1/uploads/\(identifier)")
        let received = Set(PartNumbers.parse(state.text("receivedParts")))
        let bytes = promise.upload.bytes
        for number in 1..<promise.upload.partCount + 1 where !received.contains(number) {
            try await put(number, of: promise.upload, identifier, client, bytes)
        }
    }

    private func key(_ upload: PlannedUpload) -> String { "\(upload.path)-\(upload.number)-\(upload.contentSeed)" }

    private func contentDigest(_ bytes: ArraySlice<UInt8>) -> String {
        "sha-256=:\(Digest.base64(Digest.sha256(bytes))):"
    }

    private func refused(_ what: String, _ answer: HTTPAnswer) -> GaveUp {
        GaveUp(description: "\(what): \(answer.status) \(answer.problem) \(answer.text("state"))")
    }
}

/// Part numbers as ranges: "1-40,42".
enum PartNumbers {
    static func parse(_ text: String) -> [Int] {
        text.split(separator: ",").flatMap { range -> [Int] in
            let ends = range.split(separator: "-").compactMap { Int($0) }
            guard let first = ends.first, let last = ends.last, first <= last, last - first < 100_000 else { return [] }
            return Array(first...last)
        }
    }
}
