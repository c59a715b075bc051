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
        ("fault fullIndex", 510),
        ("fault fullTarget", 500),
        ("fault killAPI", 520),
        ("fault killWorker", 1_500),
        ("fault losePartFile", 1_000),
        ("fault restartIndex", 530),
        ("fault setIndexBack", 520),
        ("fault stopAPI", 510),
        ("fault stopWorker", 1_500),
        ("fault strangerMakesFile", 260),
        ("fault strangerTakesFile", 270),
        ("fault wipeIndex", 510),
        ("worker died", 380),
        ("worker lost an answer", 250),
        ("worker was drained", 120),
        ("worker stood still", 370),
        ("api died", 110),
        ("api lost an answer", 120),
        ("api stood still", 130),
        ("index set back", 440),
        ("index read anew", 1_300),
        ("jobs lost by the broker", 15),
        ("jobs delivered twice", 690),
        ("part files lost", 98),
        ("staged bytes flipped", 74),
        ("acknowledged as complete", 7_600),
        ("acknowledged as cancelled", 1_900),
        ("files", 7_100),
        ("ended done", 6_600),
        ("ended cancelled", 2_300),
        ("upload.failed", 2_100),
        ("dead letters of target-exists", 1_400),
        ("dead letters of commit-unknown", 69),
        ("dead letters of part-damaged", 32),
        ("job.retrying", 590),
        ("job.replayed", 1_500),
        ("job.dead", 2_100),
    ]
}
