// How often what happened in histories: a simulation that lost its faults would find nothing, and seem well.

/// Counts by name.
struct Census: Sendable {
    private(set) var counts: [String: Int] = [:]

    mutating func count(_ what: String, _ number: Int = 1) { counts[what, default: 0] += number }

    /// Counts what a process met.
    mutating func count(_ process: String, _ met: FateCount) {
        count("\(process) died", met.deaths)
        count("\(process) lost an answer", met.failures)
        count("\(process) was drained", met.cancellations)
        count("\(process) stood still", met.stops)
    }

    mutating func add(_ other: Census) { for (what, number) in other.counts { count(what, number) } }
}

extension Census {
    /// How often it must have happened, at the least, in ten thousand histories: half of what was counted once.
    static let least: [(String, Int)] = [
        ("fault brokerAway", 250),
        ("fault brokerLosesConfirms", 510),
        ("fault brokerRefuses", 260),
        ("fault brokerWiped", 240),
        ("fault drainWorker", 520),
        ("fault duplicates", 250),
        ("fault failAPI", 520),
        ("fault failWorker", 1_000),
        ("fault flipStagedByte", 500),
        ("fault flipTargetByte", 510),
        ("fault fullIndex", 510),
        ("fault fullTarget", 500),
        ("fault killAPI", 520),
        ("fault killWorker", 1_500),
        ("fault losePartFile", 490),
        ("fault restartIndex", 530),
        ("fault setIndexBack", 520),
        ("fault stopAPI", 510),
        ("fault stopWorker", 1_500),
        ("fault strangerMakesFile", 260),
        ("fault strangerTakesFile", 270),
        ("fault wipeIndex", 510),
        ("worker died", 750),
        ("worker lost an answer", 500),
        ("worker was drained", 240),
        ("worker stood still", 720),
        ("api died", 190),
        ("api lost an answer", 200),
        ("api stood still", 210),
        ("index set back", 520),
        ("index read anew", 1_300),
        ("jobs lost by the broker", 20),
        ("jobs delivered twice", 550),
        ("part files lost", 100),
        ("staged bytes flipped", 150),
        ("bytes flipped on the target", 150),
        ("acknowledged as complete", 7_000),
        ("acknowledged as cancelled", 1_700),
        ("files", 6_700),
        ("built in-place", 4_500),
        ("built copy", 300),
        ("built script", 300),
        ("built relay", 300),
        ("built stream", 300),
        ("ended done", 6_700),
        ("ended cancelled", 2_000),
        ("upload.failed", 1_200),
        ("dead letters of target-exists", 830),
        ("dead letters of commit-unknown", 27),
        ("dead letters of part-damaged", 57),
        ("job.retrying", 1_100),
        ("job.replayed", 860),
        ("job.dead", 1_200),
    ]
}
