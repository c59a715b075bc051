// What a fault is: how it comes, and how it goes.

/// One way in which the world breaks.
protocol Fault: Sendable {
    /// Its name in `FAULTS=`.
    var name: String { get }
    /// What it does, for the line that is printed.
    var words: String { get }
    /// The load that runs meanwhile.
    var load: LoadShape { get }
    /// How long everything may take to settle once it is gone.
    var limit: Duration { get }
    /// How soon all must be well again after the moment that the fault has marked; nil where no figure is promised.
    var figure: Duration? { get }
    /// Whether the fleet is made whole afterwards, before it is checked.
    var isMended: Bool { get }
    /// Breaks something while the load runs.
    func inject(_ scene: Scene) async throws
    /// Mends it. The fleet's processes and proxies are restored afterwards in any case.
    func heal(_ scene: Scene) async throws
}

extension Fault {
    var load: LoadShape { LoadShape() }

    var limit: Duration { .seconds(60) }

    var figure: Duration? { nil }

    var isMended: Bool { true }

    func heal(_ scene: Scene) async throws {}
}

/// This machine cannot do what a fault needs.
struct NotPossibleHere: Error, CustomStringConvertible {
    let description: String
}
