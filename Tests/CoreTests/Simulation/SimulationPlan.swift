// What happens in one simulated history, all of it decided by the seed: who sends what, and what goes wrong when.

import Core

/// A history before it happens.
struct SimulationPlan: Sendable {
    /// A file that a client sends.
    struct Send: Sendable {
        var start: Duration
        var path: String
        var size: Int
        var principal: Principal
        var overwrite: Overwrite
        var declaresDigest: Bool
        var isSized: Bool
        /// The order in which its parts are sent; some come twice.
        var order: [Int64]
        /// After how many requests the client gives it up; nil for never.
        var cancelsAfter: Int?

        /// Its bytes, different from those of every other.
        var bytes: [UInt8]
    }

    /// Something that goes wrong.
    enum Fault: Hashable, Sendable {
        case killWorker, stopWorker(Duration), failWorker, drainWorker
        case killAPI, stopAPI(Duration), failAPI
        case wipeIndex, restartIndex, setIndexBack, fullIndex(Duration)
        case brokerAway(Duration), brokerRefuses(Duration), brokerLosesConfirms(Duration), brokerWiped, duplicates
        case flipStagedByte, losePartFile, fullTarget(Duration)
        case strangerMakesFile, strangerTakesFile
    }

    var sends: [Send]
    var faults: [(at: Duration, fault: Fault)]

    /// When nothing more goes wrong.
    static let end = Duration.seconds(20)

    /// - Parameter isCalm: nothing goes wrong.
    init(seed: UInt64, isCalm: Bool = false) {
        var random = SeededRandom(seed: seed &* 0x9E37_79B9 &+ 17)
        let count = Int.random(in: 1...3, using: &random)
        let paths = ["a", "b", "d/a"]
        sends = (0..<count).map { _ in Self.send(paths, &random) }
        faults = []
        guard !isCalm else { return }
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let time = Duration.milliseconds(Int.random(in: 0...6_000, using: &random))
            faults.append((time, Self.fault(&random)))
        }
        faults.sort { $0.at < $1.at }
    }

    private static func send(_ paths: [String], _ random: inout SeededRandom) -> Send {
        let size = [0, 1, 4_096, 5_000, 8_192, 9_000, 12_000].randomElement(using: &random) ?? 0
        let parts = (size + 4_095) / 4_096
        var order = (0..<Int64(parts)).map { $0 + 1 }
        order.shuffle(using: &random)
        if parts > 0, Bool.random(using: &random) { order.append(Int64.random(in: 1...Int64(parts), using: &random)) }
        let seed = random.next()
        return Send(
            start: .milliseconds(Int.random(in: 0...2_000, using: &random)),
            path: paths.randomElement(using: &random) ?? "a",
            size: size,
            principal: Int.random(in: 0..<5, using: &random) == 0 ? World.stranger : World.owner,
            overwrite: Bool.random(using: &random) ? .never : .replace,
            declaresDigest: Bool.random(using: &random),
            isSized: Int.random(in: 0..<4, using: &random) != 0,
            order: order,
            cancelsAfter: Int.random(in: 0..<5, using: &random) == 0 ? Int.random(in: 0...4, using: &random) : nil,
            bytes: (0..<size).map { UInt8(truncatingIfNeeded: (seed >> UInt64($0 % 8 * 8)) ^ UInt64($0 / 8)) }
        )
    }

    private static func fault(_ random: inout SeededRandom) -> Fault {
        func time(_ range: ClosedRange<Int>) -> Duration { .milliseconds(Int.random(in: range, using: &random)) }
        switch Int.random(in: 0..<24, using: &random) {
        case 0...2: return .killWorker
        case 3: return .stopWorker(time(500...5_000))
        case 4, 5: return .stopWorker(time(15_000...40_000))
        case 6, 7: return .failWorker
        case 8: return .drainWorker
        case 9: return .killAPI
        case 10: return .stopAPI(time(500...20_000))
        case 11: return .failAPI
        case 12: return .wipeIndex
        case 13: return .restartIndex
        case 14: return .setIndexBack
        case 15: return .fullIndex(time(500...5_000))
        case 16: return [.brokerAway(time(500...9_000)), .brokerRefuses(time(500...9_000))][Int(random.next() % 2)]
        case 17: return .brokerLosesConfirms(time(500...5_000))
        case 18: return [.brokerWiped, .duplicates][Int(random.next() % 2)]
        case 19: return .flipStagedByte
        // A byte that changes on the target after its part was proven is not promised to be noticed.
        case 20, 21: return .losePartFile
        case 22: return .fullTarget(time(500...9_000))
        default: return [.strangerMakesFile, .strangerTakesFile][Int(random.next() % 2)]
        }
    }

    /// Somebody else puts files on the target, or takes them away.
    var hasStranger: Bool { faults.contains { $0.fault == .strangerMakesFile || $0.fault == .strangerTakesFile } }
}
