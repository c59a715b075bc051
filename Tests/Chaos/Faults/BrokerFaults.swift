// RabbitMQ gone, stopped, alarmed, full and robbed of its queues.

import Foundation
import Harness

/// kill -9 of RabbitMQ, then started again.
struct BrokerKilled: Fault {
    let name = "rabbitmq-killed"
    let words = "kill -9 of RabbitMQ, started again after 1 to 3 s"
    let figure: Duration? = .seconds(10)

    func inject(_ scene: Scene) async throws {
        try await scene.pause(500...2_000)
        try await scene.fleet.broker.kill()
        try await scene.pause(1_000...3_000)
        try await scene.fleet.broker.restart()
        scene.mark()
        try await Self.noteQueues(scene)
    }

    /// A single node's quorum queue may stay without a leader after a kill (RabbitMQ 3.10); then this says so.
    static func noteQueues(_ scene: Scene) async throws {
        let list = try await scene.fleet.control("list_queues", "--silent", "name", "type", "state", "leader")
        let odd = list.split(separator: "\n").filter { !$0.contains("running") && !$0.contains("classic") }
        if !odd.isEmpty { scene.note("queues after the kill: \(odd.joined(separator: ", "))") }
    }
}

/// RabbitMQ stands still for longer than heartbeats allow.
struct BrokerStopped: Fault {
    let name = "rabbitmq-stopped"
    let words = "SIGSTOP of RabbitMQ for 60 s"
    let figure: Duration? = .seconds(10)

    func inject(_ scene: Scene) async throws {
        try await scene.pause(300...1_500)
        try scene.fleet.broker.suspend()
        try await Task.sleep(for: .seconds(60))
        try scene.fleet.broker.resume()
        scene.mark()
    }
}

/// The broker takes no more messages because of its memory or its disk.
struct BrokerAlarm: Fault {
    /// Of what it has too little.
    let resource: String
    /// The command that sets its limit, a limit that cannot be kept, and the usual one.
    let command: String
    let tight: String
    let usual: String

    var name: String { "rabbitmq-\(resource)-alarm" }
    var words: String { "\(resource) alarm of RabbitMQ for 6 s" }

    static let memory = BrokerAlarm(
        resource: "memory",
        command: "set_vm_memory_high_watermark",
        tight: "0.000001",
        usual: "0.4"
    )
    static let disk = BrokerAlarm(
        resource: "disk",
        command: "set_disk_free_limit",
        tight: "900000GB",
        usual: "50MB"
    )

    func inject(_ scene: Scene) async throws {
        try await scene.pause(300...1_000)
        try await scene.fleet.control(command, tight, host: false)
        try await Task.sleep(for: .seconds(6))
    }

    func heal(_ scene: Scene) async throws { try await scene.fleet.control(command, usual, host: false) }
}

/// Both job queues of a target are deleted with what is in them.
struct QueueDeleted: Fault {
    let name = "queue-deleted"
    let words = "both job queues of the target deleted with their jobs"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(300...1_000)
        // Nobody has them in hand: what is deleted is in the queues and nowhere else.
        for worker in scene.fleet.workers { try await worker.kill() }
        try await scene.pause(1_500...2_500)
        let target = scene.target.name
        let deleted = try await scene.fleet.evaluate(
            """
            [rabbit_amqqueue:delete(Queue, false, false, <<"chaos">>) || Name <- [<<"ferry.ship.\(target)">>, \
            <<"ferry.merge.\(target)">>], {ok, Queue} <- [rabbit_amqqueue:lookup(rabbit_misc:r(<<"ferry">>, queue, Name))]].
            """
        )
        scene.note(deleted.split(whereSeparator: \.isWhitespace).joined())
    }
}

/// Jobs are published, but no queue is bound for them.
struct MessageUnroutable: Fault {
    let name = "message-unroutable"
    let words = "the bindings of both job queues removed, so that jobs are returned"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(300...1_000)
        let target = scene.target.name
        for kind in ["ship", "merge"] {
            try await scene.fleet.evaluate(
                """
                rabbit_binding:remove({binding, rabbit_misc:r(<<"ferry">>, exchange, <<"ferry.jobs">>), \
                <<"\(kind).\(target)">>, rabbit_misc:r(<<"ferry">>, queue, <<"ferry.\(kind).\(target)">>), []}, <<"chaos">>).
                """
            )
        }
        try await Task.sleep(for: .seconds(4))
    }
}

/// Queues with room for next to nothing.
struct QueueFull: Fault {
    let name = "queue-full"
    let words = "job queues bound to 2 messages by a policy for 6 s (reject-publish)"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(300...800)
        let pattern = "^ferry\\.(ship|merge)\\."
        try await scene.fleet.control("set_policy", "--apply-to", "queues", "full", pattern, "{\"max-length\":2}")
        try await Task.sleep(for: .seconds(6))
    }

    func heal(_ scene: Scene) async throws { try await scene.fleet.control("clear_policy", "full") }
}

/// An operator closes all connections again and again.
struct ConnectionsClosed: Fault {
    let name = "connections-closed"
    let words = "all connections to RabbitMQ closed by the operator, 25 times in a row"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(300...800)
        let milliseconds = scene.draw(150...350)
        try await scene.fleet.evaluate(
            """
            [begin [rabbit_networking:close_connection(Connection, "chaos") || \
            Connection <- rabbit_networking:connections()], timer:sleep(\(milliseconds)) end || _ <- lists:seq(1, 25)], ok.
            """
        )
    }
}

/// Every job comes at least twice.
struct EveryJobTwice: Fault {
    let name = "every-job-twice"
    let words = "every job published a second time from outside"

    func inject(_ scene: Scene) async throws {
        let fleet = scene.fleet
        let trap = fleet.trapAMQP("publish", .seen, on: fleet.members, times: 100_000) { $0.text(0) == "ferry.jobs" }
        let end = ContinuousClock.now + .seconds(7)
        var count = 0
        while ContinuousClock.now < end {
            var jobs: [String: [String]] = [:]
            while let caught = trap.take() { jobs[caught.frame.text(1), default: []].append(caught.frame.text(2)) }
            for (key, bodies) in jobs { try await fleet.publish(bodies, to: key) }
            count += jobs.values.map(\.count).reduce(0, +)
            try await Task.sleep(for: .milliseconds(100))
        }
        trap.disarm()
        guard count > 0 else { throw HarnessError("no job was seen") }
        scene.note("\(count) jobs doubled")
    }
}

/// Messages that are no jobs.
struct MalformedMessage: Fault {
    let name = "malformed-message"
    let words = "malformed messages, and one of a newer version, in both queues"

    func inject(_ scene: Scene) async throws {
        let stranger = String(repeating: "ab", count: 16)
        let bodies = [
            "x", "{", "[]", "{\"v\":1}", "{\"v\":1,\"kind\":\"ship\",\"upload\":\"../../etc\",\"offset\":0}",
            "{\"v\":1,\"kind\":\"ship\",\"upload\":\"\(stranger)\",\"offset\":-1}",
            "{\"v\":1,\"kind\":\"destroy\",\"upload\":\"\(stranger)\"}",
            String(repeating: "9", count: 100_000), Fleet.job("merge", stranger), Fleet.job("clean", stranger),
            Fleet.job("ship", stranger, offset: 0),
        ]
        for kind in ["ship", "merge"] {
            try await scene.pause(100...600)
            let key = "\(kind).\(scene.target.name)"
            try await scene.fleet.publish(bodies, to: key)
            try await scene.fleet.publish([Fleet.job(kind, stranger, offset: 0, version: 2)], to: key)
        }
    }
}

extension Faults {
    static let broker: [any Fault] = [
        BrokerKilled(), BrokerStopped(), BrokerAlarm.memory, BrokerAlarm.disk, QueueDeleted(), MessageUnroutable(),
        QueueFull(), ConnectionsClosed(), EveryJobTwice(), MalformedMessage(),
    ]
}
