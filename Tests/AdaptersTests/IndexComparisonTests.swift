// The same random life on both indexes: whatever the one answers, the other must.

import Core
import CoreTesting
import Harness
import Testing

@Suite("Both indexes")
struct IndexComparisonTests {
    @Test("answer alike, whatever is done to them", arguments: 1...30)
    func answerAlike(seed: Int) async throws {
        let memory = Actor(try await StoreUnderTest.memory.index())
        let redis = Actor(try await StoreUnderTest.redis.index())
        var random = SeededGenerator(seed: UInt64(seed))
        var trace: [String] = []
        for step in 0..<250 {
            let deed = try await memory.nextDeed(using: &random)
            trace.append("\(deed)")
            let expected = try await memory.perform(deed)
            let answer = try await redis.perform(deed)
            guard answer == expected else {
                Issue.record(
                    """
                    seed \(seed), step \(step): \(deed)
                    memory: \(expected)
                    redis:  \(answer)
                    \(trace.suffix(25).joined(separator: "\n"))
                    """
                )
                return
            }
            try await memory.index.pass(.microseconds(10))
        }
    }
}

extension IndexComparisonTests {
    @Test("are led through every state, and refuse in every way")
    func reachesEverything() async throws {
        var states: Set<UploadState> = []
        var answers: Set<Substring> = []
        for seed in 1...30 {
            let memory = Actor(try await StoreUnderTest.memory.index())
            var random = SeededGenerator(seed: UInt64(seed))
            for _ in 0..<250 {
                let answer = try await memory.perform(try await memory.nextDeed(using: &random))
                let words = answer.split(separator: " ")
                answers.formUnion(words.prefix(1))
                if words.first == "refused" { answers.formUnion(words.dropFirst().prefix(1)) }
                states.formUnion(words.compactMap { UploadState(rawValue: String($0)) })
                try await memory.index.pass(.microseconds(10))
            }
        }
        #expect(states == Set(UploadState.allCases))
        for word in [
            "created", "repeated", "held", "applied", "unknown", "scheduled", "exhausted", "stale", "generation",
            "leased", "missing", "contradicts", "ended", "not", "staleFence", "noSuchPart", "committing",
        ] { #expect(answers.contains { $0 == word || $0.hasSuffix(".\(word)") }, "\(word)") }
        #expect(answers.contains { $0.contains("pathHeld") })
        #expect(answers.contains { $0.contains("conflict") })
    }
}

/// Something that is done to an index. Numbers that the index gave out are named by their order.
private enum Deed {
    case create(Int, path: Int, protocol: UploadProtocol, size: Int64?, key: String?, isOld: Bool)
    case receive(Int, Part)
    case complete(Int, size: Int64, digest: SHA256Digest?)
    case cancel(Int)
    case expire(Int)
    case replay(Int, Overwrite?)
    case prepare(Int)
    case start(Int, number: Int, replacesCurrent: Bool)
    case requeue(Int, from: Int64, limit: Int)
    case shipped(Int, offset: Int64, number: Int?, Verification)
    case strike(Int, Part)
    case claim(Int)
    case renew(Int, number: Int?)
    case release(Int, number: Int?)
    case commit(Int, number: Int?)
    case finish(Int, number: Int?)
    case fail(Int, number: Int?, named: Bool)
    case retry(Int, kind: Int, offset: Int64, attempt: Int?, limit: Int?, number: Int?, named: Bool, isNow: Bool)
    case cleaned(Int)
    case revive(Int, isIdle: Bool)
    case settleDue(confirms: Bool)
    case restore(Int, path: Int, parts: Int, markers: Int)
    case look(Int)

    static func random(using numbers: inout SeededGenerator) -> Deed {
        let id = Int.random(in: 0..<4, using: &numbers)
        let offset = Int64.random(in: 0..<3, using: &numbers) * 10
        // Mostly what is current, sometimes something older.
        let number = Int.random(in: 0..<8, using: &numbers) == 0 ? Int.random(in: 0..<6, using: &numbers) : nil
        let chance = Int.random(in: 0..<10, using: &numbers)
        switch Int.random(in: 0..<61, using: &numbers) {
        case 0...6:
            return .create(
                id,
                path: Int.random(in: 0..<3, using: &numbers),
                protocol: chance < 5 ? .native : .append,
                size: [nil, 0, 30, 30, 30].randomElement(using: &numbers) ?? nil,
                key: (5...7).contains(chance) ? "k" : nil,
                isOld: chance > 6
            )
        case 7...16: return .receive(id, part(offset, seed: chance == 0 ? 2 : 1))
        case 17...20:
            let size: Int64 = chance < 8 ? 30 : (chance == 8 ? 0 : 20)
            return .complete(id, size: size, digest: chance == 3 ? digest(3) : nil)
        case 21: return chance < 3 ? .cancel(id) : .look(id)
        case 22: return .expire(id)
        case 23...26: return .replay(id, chance < 3 ? .replace : nil)
        case 27, 28: return .prepare(id)
        case 29...31: return .start(id, number: Int.random(in: 0..<2, using: &numbers), replacesCurrent: chance < 8)
        case 32: return .requeue(id, from: offset, limit: 1 + chance % 3)
        case 33...40:
            return .shipped(id, offset: offset, number: number, Verification.allCases[chance % 3])
        case 41: return chance < 5 ? .strike(id, part(offset)) : .look(id)
        case 42...44: return .claim(id)
        case 45: return .renew(id, number: number)
        case 46: return .release(id, number: number)
        case 47...49: return .commit(id, number: number)
        case 50, 51: return .finish(id, number: number)
        case 52: return .fail(id, number: number, named: chance < 5)
        case 53...55:
            return .retry(
                id,
                kind: chance % 3,
                offset: offset,
                attempt: number,
                limit: chance == 9 ? nil : chance % 3,
                number: nil,
                named: chance < 5,
                isNow: chance < 3
            )
        case 56: return .cleaned(id)
        case 57: return .settleDue(confirms: chance < 5)
        case 59: return .revive(id, isIdle: chance < 7)
        case 58: return .restore(id, path: chance % 3, parts: chance, markers: Int.random(in: 0..<8, using: &numbers))
        default: return .look(id)
        }
    }
}

/// Does deeds on one index, and tells what happened without times and numbers of its own.
private final class Actor {
    let index: IndexUnderTest
    private var numbers: [UInt64] = []
    private var prepared: [Int: [Generation]] = [:]
    /// Records as they were first created, for restores.
    private var records: [Int: UploadRecord] = [:]

    init(_ index: IndexUnderTest) { self.index = index }

    private func id(_ number: Int) -> UploadID { UploadID(high: 7, low: UInt64(number)) }

    // MARK: Deeds

    /// Anything, or, every third time, what brings an upload further: chance alone hardly ever comes to a commit.
    func nextDeed(using random: inout SeededGenerator) async throws -> Deed {
        let deed = Deed.random(using: &random)
        let number = Int.random(in: 0..<4, using: &random)
        guard Int.random(in: 0..<3, using: &random) == 0, let upload = try await index.store.upload(id(number)) else {
            return deed
        }
        let parts = try await index.store.parts(of: upload.id)
        let unshipped = parts.filter { $0.shippedIn == nil || $0.shippedIn != upload.generation }
        switch upload.state {
        case .receiving:
            let missing = [Int64(0), 10, 20].first { offset in !parts.contains { $0.part.offset == offset } }
            return missing.map { .receive(number, part($0)) } ?? .complete(number, size: 30, digest: nil)
        case .shipping:
            guard upload.generation != nil else {
                let isPrepared = prepared[number]?.isEmpty == false
                return isPrepared ? .start(number, number: 0, replacesCurrent: true) : .prepare(number)
            }
            return unshipped.first.map { .shipped(number, offset: $0.part.offset, number: nil, .digest) } ?? deed
        case .merging: return Bool.random(using: &random) ? .claim(number) : .commit(number, number: nil)
        case .committing: return Bool.random(using: &random) ? .claim(number) : .finish(number, number: nil)
        case .failed: return .replay(number, nil)
        case .done, .cancelled, .expired: return deed
        }
    }

    func perform(_ deed: Deed) async throws -> String {
        let store = index.store
        switch deed {
        case .create(let number, let path, let uploadProtocol, let size, let key, let isOld):
            let age: Duration = isOld ? .seconds(100) : .zero
            let record = try index.record(
                id: id(number),
                path: "path/\(path)",
                uploadProtocol,
                size: size,
                key: key,
                createdAt: index.now() - age,
                lifetime: .seconds(isOld ? 50 : 5_000)
            )
            switch try await store.create(record) {
            case .created(let upload):
                if records[number] == nil { records[number] = record }
                return "created \(told(upload))"
            case .repeated(let upload): return "repeated \(told(upload))"
            case .held(let upload): return "held \(told(upload))"
            case .forbidden: return "forbidden"
            }
        case .receive(let number, let part): return told(try await store.receive(part, of: id(number)))
        case .complete(let number, let size, let digest):
            return told(try await store.complete(id(number), size: size, digest: digest))
        case .cancel(let number): return told(try await store.cancel(id(number)))
        case .expire(let number): return told(try await store.expire(id(number)))
        case .replay(let number, let overwrite):
            return told(try await store.replay(id(number), overwrite: overwrite))
        case .prepare(let number):
            guard let next = try await store.nextGeneration(of: id(number)) else { return "none" }
            prepared[number, default: []].append(next.generation)
            return "\(told(next.generation.number)) \(told(next.upload))"
        case .start(let number, let chosen, let replacesCurrent):
            let known = prepared[number] ?? []
            guard let generation = chosen == 0 ? known.last : known.first else { return "none" }
            let current = replacesCurrent ? try await store.upload(id(number))?.generation : nil
            let strategy = MergeStrategy.allCases[number % MergeStrategy.allCases.count]
            return told(
                try await store.startGeneration(generation, of: id(number), replacing: current, by: strategy)
            )
        case .requeue(let number, let offset, let limit):
            let page = try await store.requeueShips(of: id(number), from: offset, limit: limit)
            // An index may look ahead in pages of its own, so only whether it goes on is compared.
            return "\(page.entries.map(\.job)) \(page.next != nil)"
        case .shipped(let number, let offset, let chosen, let verification):
            let generation = Generation(try await pick(chosen, number) { $0?.generation?.number })
            return told(
                try await store.shipped(offset: offset, of: id(number), in: generation, verification: verification)
            )
        case .strike(let number, let part): return told(try await store.strike(part, of: id(number)))
        case .look(let number): return try await look(id(number))
        default: return try await work(deed)
        }
    }

    private func work(_ deed: Deed) async throws -> String {
        let store = index.store
        switch deed {
        case .claim(let number): return told(try await store.claim(id(number), holder: "w", for: .seconds(600)))
        case .renew(let number, let chosen):
            let fence = try await fence(chosen, number)
            return told(try await store.renew(id(number), fence: fence, for: .seconds(600)))
        case .release(let number, let chosen):
            try await store.release(id(number), fence: try await fence(chosen, number))
            return try await look(id(number))
        case .commit(let number, let chosen):
            let fence = try await fence(chosen, number)
            let generation = Generation(try await pick(nil, number) { $0?.generation?.number })
            let finalFile = FinalFile(size: 30, digest: digest(5), modified: 9)
            return told(
                try await store.beginCommit(
                    id(number),
                    fence: fence,
                    generation: generation,
                    finalFile: finalFile,
                    verification: number.isMultiple(of: 2) ? nil : .readback
                )
            )
        case .finish(let number, let chosen):
            return told(try await store.finish(id(number), fence: try await fence(chosen, number), atomic: true))
        case .fail(let number, let chosen, let named):
            let fence = named ? try await fence(chosen, number) : nil
            return told(try await store.fail(id(number), fence: fence, failure: Failure(.diskFull, "full")))
        case .retry(let number, let kind, let offset, let attempt, let limit, let chosen, let named, let isNow):
            let job: Job = [.ship(id(number), offset: offset), .merge(id(number)), .clean(id(number))][kind]
            let current = try await store.attempt(of: job)
            let request = RetryRequest(
                job: job,
                attempt: attempt ?? current,
                fence: named && kind == 1 ? try await fence(chosen, number) : nil,
                limit: limit,
                delay: isNow ? .zero : .seconds(1_000),
                failure: Failure(.targetFailed, "again")
            )
            switch try await store.retry(request) {
            case .scheduled(let upload, _): return "scheduled \(told(upload))"
            case .exhausted(let upload): return "exhausted \(told(upload))"
            case .stale: return "stale"
            }
        case .cleaned(let number):
            try await store.cleaned(id(number))
            return try await look(id(number))
        case .revive(let number, let isIdle):
            return told(try await store.revive(id(number), idleFor: isIdle ? .zero : .seconds(500)))
        case .settleDue(let confirms):
            let due = try await store.dueEntries(of: target(), limit: 500)
            if confirms { try await store.confirm(due) } else { try await store.postpone(due, by: .seconds(500)) }
            let left = try await store.dueEntries(of: target(), limit: 500)
            return "\(due.map(\.job.description).sorted()) \(left.count)"
        case .restore(let number, let path, let parts, let markers):
            return try await restore(number, path: path, parts: parts, markers: markers)
        default: return ""
        }
    }

    private func restore(_ number: Int, path: Int, parts: Int, markers: Int) async throws -> String {
        let record = try records[number] ?? index.record(id: id(number), path: "path/\(path)")
        let staged = (0..<3).filter { parts & (1 << $0) == 0 || parts > 7 }.map { part(Int64($0) * 10) }
        let time = Timestamp(microseconds: 5)
        var found: [Marker] = []
        if markers & 1 != 0 { found.append(.complete(size: 30, digest: nil, at: time)) }
        if markers == 2 || markers == 5 { found.append(.cancelled(by: "alice", at: time)) }
        if markers == 4 { found.append(.expired(at: time)) }
        if markers == 6 { found.append(.done(FinalFile(size: 30, digest: nil, modified: 3), at: time)) }
        return told(try await index.store.restore(StagedUpload(record: record, parts: staged, markers: found)))
    }

    private func look(_ id: UploadID) async throws -> String {
        guard let upload = try await index.store.upload(id) else { return "none" }
        let parts = try await index.store.parts(of: id).map { "\($0.part.offset)/\(told($0.shippedIn?.number))" }
        let holder = try await index.store.holder(of: upload.record.path, on: upload.record.target)
        let clean = try await index.store.attempt(of: .clean(id))
        let ship = try await index.store.attempt(of: .ship(id, offset: 10))
        let lists = try await listed(upload)
        let history = try await index.store.history(of: id).map { entry in
            "\(entry.kind) \(entry.by ?? "-") \(entry.job?.description ?? "-") \(entry.attempt ?? -1)"
        }
        let start = "\(told(upload)) \(parts) holder \(holder?.id.description ?? "") \(clean) \(ship) \(lists)"
        return "\(start) \(history)"
    }

    private func listed(_ upload: Upload) async throws -> String {
        let all = try await index.store.uploads(UploadQuery(owner: nil, state: upload.state)).uploads
        return "\(all.map(\.id).sorted())"
    }

    // MARK: Numbers

    private func pick(_ chosen: Int?, _ number: Int, _ current: (Upload?) -> UInt64?) async throws -> UInt64 {
        if let chosen { return numbers.indices.contains(chosen) ? numbers[chosen] : 1 }
        return current(try await index.store.upload(id(number))) ?? 1
    }

    private func fence(_ chosen: Int?, _ number: Int) async throws -> Fence {
        Fence(try await pick(chosen, number) { $0?.fence?.number })
    }

    private func told(_ number: UInt64?) -> String {
        guard let number else { return "-" }
        if !numbers.contains(number) { numbers.append(number) }
        return "#\(numbers.firstIndex(of: number) ?? 0)"
    }

    // MARK: Telling

    private func told(_ upload: Upload) -> String {
        let record = upload.record
        let facts: [String] = [
            upload.id.description, upload.state.rawValue, "\(record.path)", "\(record.uploadProtocol)",
            "\(record.size ?? -1)", "\(record.digest?.hex.prefix(4) ?? "-")", "\(record.overwrite)",
            "received \(upload.received.bytes)/\(upload.received.parts)",
            "shipped \(upload.shipped.bytes)/\(upload.shipped.parts)", told(upload.generation?.number),
            told(upload.fence?.number), "prepared \(upload.preparations)", "attempts \(upload.attempts)",
            "restarts \(upload.restarts)",
            upload.failure.map { "\($0)" } ?? "-",
            upload.deadLetter.map { "\($0.job?.description ?? "-") \($0.attempts) \($0.first)" } ?? "-",
            upload.verification.map { "\($0)" } ?? "-", upload.strategy.map { "\($0)" } ?? "-",
            told(upload.sealedBy?.number),
            upload.finalFile.map { "\($0)" } ?? "-", upload.atomic.map { "\($0)" } ?? "-",
            upload.endedAt == nil ? "going" : "ended", record.expiresAt > index.now() ? "fresh" : "old",
        ]
        return facts.joined(separator: " ")
    }

    private func told<Refusal>(_ change: Change<Refusal>) -> String {
        switch change {
        case .unknown: return "unknown"
        case .applied(let upload, let entries): return "applied \(told(upload)) \(entries.map(\.job))"
        case .refused(let refusal): return "refused \(told(refusal: refusal))"
        }
    }

    private func told(refusal: Any) -> String {
        switch refusal {
        case let refusal as WorkRefusal:
            if case .staleGeneration(let generation) = refusal { return "generation \(told(generation?.number))" }
            if case .leased = refusal { return "leased" }
            return "\(refusal)"
        case let refusal as CompleteRefusal:
            switch refusal {
            case .partsMissing(let upload): return "missing \(told(upload))"
            case .contradicts(let upload): return "contradicts \(told(upload))"
            case .state(let state): return "\(state)"
            }
        case let refusal as EndRefusal:
            if case .ended(let upload) = refusal { return "ended \(told(upload))" }
            return "\(refusal)"
        case let refusal as ExpireRefusal:
            if case .notDue(let upload) = refusal { return "not due \(told(upload))" }
            return "\(refusal)"
        default: return "\(refusal)"
        }
    }
}
