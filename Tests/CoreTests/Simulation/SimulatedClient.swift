// A client of a simulation: knows only what it was answered, and goes on until it was told yes or no.

import Core
import CoreTesting
import Synchronization

/// What one client was told about its file.
struct Acknowledged: Sendable {
    var id: UploadID?
    /// Parts that were answered with success, and may be counted on.
    var parts: Set<Int64> = []
    var isComplete = false
    var isCancelled = false
    /// Why it stopped, where it was refused.
    var refusal: IntakeError?
}

/// Sends one file of a plan.
struct SimulatedClient: Sendable {
    let world: World
    let plan: SimulationPlan.Send
    let key: String
    /// An API process that is alive.
    let api: @Sendable () -> WorldProcess

    /// The end of what a client can know.
    private struct Overtaken: Error { var error: IntakeError }

    /// Does something until it is answered. An answer of a process that died on the way never arrives.
    private func ask<Value: Sendable>(
        _ request: @Sendable (WorldProcess) async throws(IntakeError) -> Value
    ) async throws -> Value {
        for _ in 0..<400 {
            let process = api()
            var pause = Duration.milliseconds(100)
            let result: Result<Value, IntakeError> = await Gate.$current.withValue(process.gate) {
                do throws(IntakeError) { return .success(try await request(process)) } catch { return .failure(error) }
            }
            if !process.gate.isDead {
                switch result {
                case .success(let value): return value
                case .failure(.unavailable(_, let wait)): pause = min(wait, .seconds(2))
                case .failure(let error): throw Overtaken(error: error)
                }
            }
            try await world.clock.sleep(pause)
        }
        throw WorldError.stuck("a client got no answer")
    }

    /// Sends the file; `note` keeps what was told, as it is told.
    func run(_ note: @escaping @Sendable ((inout Acknowledged) -> Void) -> Void) async throws {
        try await world.clock.sleep(plan.start)
        do {
            try await send(note)
        } catch let overtaken as Overtaken {
            note { $0.refusal = overtaken.error }
        }
    }

    private func send(_ note: @escaping @Sendable ((inout Acknowledged) -> Void) -> Void) async throws {
        if plan.isWhole, try await submit(note) { return }
        let id = try await ask { process throws(IntakeError) in
            try await client(process).create(
                plan.path,
                size: plan.isSized ? Int64(plan.size) : nil,
                digest: plan.declaresDigest ? World.digest(plan.bytes) : nil,
                overwrite: plan.overwrite,
                key: key
            )
        }.upload.id
        note { $0.id = id }
        var left = plan.cancelsAfter
        for number in plan.order {
            if left == 0 { return try await cancel(id, note) }
            left = left.map { $0 - 1 }
            try await put(number, id, note)
        }
        if left == 0 { return try await cancel(id, note) }
        for _ in 0..<10 {
            do {
                _ = try await ask { process throws(IntakeError) in
                    try await process.intake.complete(id, digest: nil, for: plan.principal)
                }
                note { $0.isComplete = true }
                if left != nil { try await cancel(id, note) }
                return
            } catch let overtaken as Overtaken {
                // Parts that were damaged meanwhile are asked for again.
                guard case .partsMissing(let numbers) = overtaken.error else { throw overtaken }
                for number in plan.order where numbers.ranges.contains(where: { $0.contains(number) }) {
                    try await put(number, id, note)
                }
            }
        }
    }

    /// Sends the file in one request; false where something is in the way.
    private func submit(_ note: @escaping @Sendable ((inout Acknowledged) -> Void) -> Void) async throws -> Bool {
        let taken = try await ask { process throws(IntakeError) in
            try await client(process).submit(
                plan.bytes,
                to: plan.path,
                digest: plan.declaresDigest ? World.digest(plan.bytes) : nil,
                overwrite: plan.overwrite,
                key: key
            )
        }
        guard let taken else { return false }
        note {
            $0.id = taken.id
            $0.parts = Set(plan.order)
            $0.isComplete = true
        }
        if plan.cancelsAfter != nil { try await cancel(taken.id, note) }
        return true
    }

    private func put(
        _ number: Int64,
        _ id: UploadID,
        _ note: @escaping @Sendable ((inout Acknowledged) -> Void) -> Void
    ) async throws {
        let start = Int(number - 1) * 4_096
        let bytes = plan.bytes[start..<min(start + 4_096, plan.size)]
        _ = try await ask { process throws(IntakeError) in try await client(process).put(number, of: id, bytes) }
        note { $0.parts.insert(number) }
    }

    /// Sends parts again that were damaged after the end was asked for.
    func putAgain(_ numbers: PartNumbers, of id: UploadID) async throws {
        for number in Set(plan.order) where numbers.ranges.contains(where: { $0.contains(number) }) {
            do { try await put(number, id) { _ in } } catch is Overtaken {}
        }
    }

    /// Sends all parts again, and says once more that these are all.
    func sendAgain(_ id: UploadID) async throws {
        do {
            for number in Set(plan.order).sorted() { try await put(number, id) { _ in } }
            _ = try await ask { process throws(IntakeError) in
                try await process.intake.complete(id, digest: nil, for: plan.principal)
            }
        } catch is Overtaken {}
    }

    private func cancel(_ id: UploadID, _ note: @escaping @Sendable ((inout Acknowledged) -> Void) -> Void) async throws
    {
        _ = try await ask { process throws(IntakeError) in try await process.intake.cancel(id, for: plan.principal) }
        note { $0.isCancelled = true }
    }

    private func client(_ process: WorldProcess) -> WorldClient {
        var client = WorldClient(world: world, api: process, principal: plan.principal)
        // Whoever takes the commit of such a file over late knows it by its content only.
        if plan.size % 2 == 0 { client.attributes.modifiedAt = Timestamp(microseconds: 1_000_000_000_000_000) }
        return client
    }
}
