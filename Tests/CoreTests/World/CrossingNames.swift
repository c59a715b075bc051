// What the crossings of a port are called.

import CoreTesting

/// The names of all crossings of a port, made once: a history has hundreds.
struct CrossingNames<Operation: Hashable & CaseIterable & Sendable>: Sendable {
    /// Whether the port notices that its task was cancelled.
    let isCancellable: Bool
    private let before: [Operation: String]
    private let after: [Operation: String]

    init(_ port: String, isCancellable: Bool = false) {
        func names(_ moment: FaultMoment) -> [Operation: String] {
            Dictionary(uniqueKeysWithValues: Operation.allCases.map { ($0, "\(port).\($0).\(moment)") })
        }
        self.isCancellable = isCancellable
        before = names(.before)
        after = names(.after)
    }

    subscript(operation: Operation, moment: FaultMoment) -> String {
        switch moment {
        case .before: before[operation, default: ""]
        case .after: after[operation, default: ""]
        }
    }
}
