// What happens in one simulated history, all of it decided by the seed: who sends what, and what goes wrong when.

import Core

/// How files are built in a history. Somebody configures another way meanwhile, which what has begun does not mind.
struct BuildingPlan: Sendable {
    var first: MergeStrategy
    var then: MergeStrategy
    var at: Duration

    /// Three of four generations are built in place, as most are, and with the fewest steps.
    init(seed: UInt64, only strategy: MergeStrategy?) {
        var random = SeededRandom(seed: seed &* 0xC2B2_AE3D &+ 29)
        func drawn() -> MergeStrategy {
            let others = MergeStrategy.allCases.filter { $0 != .inPlace }
            return Int.random(in: 0..<4, using: &random) > 0
                ? .inPlace : others.randomElement(using: &random) ?? .inPlace
        }
        (first, then) = (drawn(), drawn())
        at = .milliseconds(Int.random(in: 0...6_000, using: &random))
        if let strategy { (first, then) = (strategy, strategy) }
    }
}

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
        /// Whether all of it comes with the request that creates its upload, as far as that goes.
        var isWhole: Bool
        /// The order in which its parts are sent; some come twice.
        var order: [Int64]
        /// After how many requests the client gives it up; nil for never.
        var cancelsAfter: Int?

        /// Its bytes, different from those of every other.
        var bytes: [UInt8]
    }

    /// Something that goes wrong.
    struct Fault: Hashable, Sendable {
        enum Kind: String, Hashable, Sendable, CaseIterable {
            case killWorker, stopWorker, failWorker, drainWorker
            case killAPI, stopAPI, failAPI
            case wipeIndex, restartIndex, setIndexBack, fullIndex
            case brokerAway, brokerRefuses, brokerLosesConfirms, brokerWiped, duplicates
            case flipStagedByte, losePartFile, flipTargetByte, fullTarget
            case strangerMakesFile, strangerTakesFile
        }

        var kind: Kind
        /// How long it goes on, where it does; of an index that is set back, how much it loses.
        var lasts = Duration.zero
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
        let isSized = Int.random(in: 0..<4, using: &random) != 0
        return Send(
            start: .milliseconds(Int.random(in: 0...2_000, using: &random)),
            path: paths.randomElement(using: &random) ?? "a",
            size: size,
            principal: Int.random(in: 0..<5, using: &random) == 0 ? World.stranger : World.owner,
            overwrite: Bool.random(using: &random) ? .never : .replace,
            declaresDigest: Bool.random(using: &random),
            isSized: isSized,
            isWhole: isSized && 1...4_096 ~= size && seed % 4 != 0,
            order: order,
            cancelsAfter: Int.random(in: 0..<5, using: &random) == 0 ? Int.random(in: 0...4, using: &random) : nil,
            bytes: bytes(seed, count: size)
        )
    }

    /// Bytes that tell of their seed and place, written eight at once.
    private static func bytes(_ seed: UInt64, count: Int) -> [UInt8] {
        var words = [UInt64](repeating: seed, count: (count + 7) / 8)
        for index in words.indices { words[index] = seed ^ UInt64(index) &* 0x0101_0101_0101_0101 }
        return words.withUnsafeBytes { Array($0.prefix(count)) }
    }

    private static func fault(_ random: inout SeededRandom) -> Fault {
        func time(_ range: ClosedRange<Int>) -> Duration { .milliseconds(Int.random(in: range, using: &random)) }
        func either(_ one: Fault.Kind, _ other: Fault.Kind) -> Fault.Kind { Bool.random(using: &random) ? one : other }
        switch Int.random(in: 0..<24, using: &random) {
        case 0...2: return Fault(kind: .killWorker)
        case 3: return Fault(kind: .stopWorker, lasts: time(500...5_000))
        case 4, 5: return Fault(kind: .stopWorker, lasts: time(15_000...40_000))
        case 6, 7: return Fault(kind: .failWorker)
        case 8: return Fault(kind: .drainWorker)
        case 9: return Fault(kind: .killAPI)
        case 10: return Fault(kind: .stopAPI, lasts: time(500...20_000))
        case 11: return Fault(kind: .failAPI)
        case 12: return Fault(kind: .wipeIndex)
        case 13: return Fault(kind: .restartIndex)
        case 14: return Fault(kind: .setIndexBack, lasts: time(100...1_000))
        case 15: return Fault(kind: .fullIndex, lasts: time(500...5_000))
        case 16: return Fault(kind: either(.brokerAway, .brokerRefuses), lasts: time(500...9_000))
        case 17: return Fault(kind: .brokerLosesConfirms, lasts: time(500...5_000))
        case 18: return Fault(kind: either(.brokerWiped, .duplicates))
        case 19: return Fault(kind: .flipStagedByte)
        case 20: return Fault(kind: .losePartFile)
        case 21: return Fault(kind: .flipTargetByte)
        case 22: return Fault(kind: .fullTarget, lasts: time(500...9_000))
        default: return Fault(kind: either(.strangerMakesFile, .strangerTakesFile))
        }
    }

    /// Somebody else puts files on the target, or takes them away.
    var hasStranger: Bool {
        faults.contains { $0.fault.kind == .strangerMakesFile || $0.fault.kind == .strangerTakesFile }
    }
}
