// The exchanges and queues that Ferry uses, as arguments of their declarations.

public import AMQP
public import Core

/// Names and arguments of everything that Ferry declares at the broker. Every program declares what it uses, on each
/// connection anew, so the declarations must not differ between programs.
public struct FerryTopology: Hashable, Sendable {
    /// Direct exchange of jobs.
    public static let jobs = "ferry.jobs"
    /// Fanout exchange, and the queue behind it, of what the broker itself gives up.
    public static let dead = "ferry.dead"
    /// Fanout exchange of events.
    public static let events = "ferry.events"
    /// How long a question about a path waits for a worker.
    public static let probeLifetime = Duration.seconds(5)

    /// Jobs that one queue holds at most; more are refused and stay in the outbox.
    public var maximumLength = 1_000_000
    /// How often the broker delivers a job before it gives up.
    public var deliveryLimit = 20

    /// The defaults.
    public init() {}

    /// `ferry.ship.<target>`, `ferry.merge.<target>`
    public static func queue(_ kind: JobQueueKind, of target: TargetID) -> String { "ferry.\(kind.rawValue).\(target)" }

    /// `ship.<target>`, `merge.<target>`
    public static func routingKey(_ kind: JobQueueKind, of target: TargetID) -> String { "\(kind.rawValue).\(target)" }

    /// `ferry.probe.<target>`
    public static func probeQueue(of target: TargetID) -> String { "ferry.probe.\(target)" }

    /// The target in a routing key of `ferry.jobs`; nil for any other key.
    public static func target(ofRoutingKey key: String) -> TargetID? {
        for kind in JobQueueKind.allCases {
            let prefix = kind.rawValue + "."
            if key.hasPrefix(prefix) { return TargetID(key.dropFirst(prefix.count)) }
        }
        return nil
    }

    /// Everything about jobs and probes of these targets.
    public func jobs(of targets: [TargetID]) -> AMQPTopology {
        var topology = AMQPTopology(
            exchanges: [
                .init(name: Self.jobs, kind: .direct),
                .init(name: Self.dead, kind: .fanout),
            ],
            queues: [.init(name: Self.dead, arguments: ["x-queue-type": "quorum"])],
            bindings: [.init(queue: Self.dead, exchange: Self.dead, routingKey: "")]
        )
        for target in targets {
            for kind in JobQueueKind.allCases {
                let queue = Self.queue(kind, of: target)
                topology.queues.append(.init(name: queue, arguments: jobArguments))
                topology.bindings.append(
                    .init(queue: queue, exchange: Self.jobs, routingKey: Self.routingKey(kind, of: target))
                )
            }
            let lifetime = AMQPValue.int(Self.probeLifetime.milliseconds)
            topology.queues.append(
                .init(
                    name: Self.probeQueue(of: target),
                    arguments: ["x-queue-type": "classic", "x-message-ttl": lifetime]
                )
            )
        }
        return topology
    }

    private var jobArguments: AMQPTable {
        [
            "x-queue-type": "quorum",
            "x-delivery-limit": .int(Int64(deliveryLimit)),
            "x-max-length": .int(Int64(maximumLength)),
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": .string(Self.dead),
            // At-least-once needs reject-publish.
            "x-dead-letter-strategy": "at-least-once",
        ]
    }

    /// What those who tell or watch need.
    public static let eventExchange = AMQPTopology(exchanges: [.init(name: events, kind: .fanout)])
}
