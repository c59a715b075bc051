// Runs one fault after the other: load, fault, healing, checking, a line.

import Foundation
import Harness
import Synchronization

/// What came of one fault.
struct Report: Sendable {
    var name: String
    var words: String
    var uploads = 0
    var settlement = Settlement()
    var repeated = 0
    /// From the moment that the fault marked until all was well.
    var wellAfter: Duration?
    var took = Duration.zero
    var notes: [String] = []
    /// Why the fault did not take place.
    var failure: String?
    var isSkipped = false

    var isGood: Bool { failure == nil && settlement.tally.isClean }

    /// A row of a table: fault, acknowledged uploads and parts, dead letters replayed, recovery, what was wrong.
    var row: String {
        let replayed = settlement.replayed.values.reduce(0, +)
        let cells = [
            "`\(name)`", "\(settlement.tally.acknowledged)", "\(settlement.tally.parts)", "\(replayed)",
            settlement.recovery.short, isSkipped ? "not possible here" : isGood ? "–" : settlement.tally.line,
        ]
        return "| \(cells.joined(separator: " | ")) |"
    }

    static let headings = """
        | Fault | Uploads | Parts | Dead letters replayed | Recovered in | Wrong |
        | --- | --- | --- | --- | --- | --- |
        """

    var line: String {
        if isSkipped { return "\(name): not possible here: \(failure ?? "")" }
        var parts = [
            "\(uploads) uploads: \(settlement.tally.acknowledged) acknowledged, \(settlement.arrived) arrived",
            "\(settlement.tally.parts) parts",
            "\(settlement.cancelled) cancelled",
        ]
        let count = settlement.replayed.values.reduce(0, +)
        let reasons = settlement.replayed.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        parts.append("\(count) dead letters replayed" + (count > 0 ? " (\(reasons.joined(separator: ", ")))" : ""))
        parts.append("\(settlement.duplicates) duplicates, \(repeated) requests repeated")
        let well = wellAfter.map { ", all well \($0.short) after it" } ?? ""
        parts.append("recovered in \(settlement.recovery.short)\(well), took \(took.short)")
        let verdict = isGood ? "" : "; \(settlement.tally.line)"
        let said = notes.isEmpty ? "" : " [\(notes.joined(separator: "; "))]"
        return "\(name): \(words)\(said): " + parts.joined(separator: "; ") + verdict
    }
}

/// Runs faults on one fleet.
struct Runner: Sendable {
    let fleet: Fleet
    let settings: Settings

    private static let clients = 8
    /// A fault's own steps, all together.
    private static let injectLimit = Duration.seconds(120)
    private static let loadLimit = Duration.seconds(180)

    func run(_ fault: some Fault) async -> Report {
        let start = ContinuousClock.now
        var report = Report(name: fault.name, words: fault.words)
        var random = SeededGenerator(seed: settings.seed, purpose: fault.name)
        let plan = LoadPlan(
            settings.uploads,
            fault.load,
            directory: fault.name,
            targets: fleet.targets.map(\.name),
            using: &random
        )
        let scene = Scene(fleet, directory: fault.name, plan: plan, random: random)
        do {
            try prepareTargets(fault, plan)
            let watches = try fleet.targets.map { try TargetWatch($0.root.path(fault.name)) }
            defer { watches.forEach { $0.end() } }
            let load = Task { await run(plan, scene) }
            do {
                try await within(Self.injectLimit, "the fault's steps") { try await fault.inject(scene) }
            } catch {
                report.failure = "\(error)"
                report.isSkipped = error is NotPossibleHere
            }
            do {
                try await within(Self.injectLimit, "healing") {
                    try await fault.heal(scene)
                    if fault.isMended { try await fleet.restore() }
                }
            } catch {
                report.failure = (report.failure.map { $0 + "; " } ?? "") + "healing: \(error)"
            }
            try? await within(Self.loadLimit, "the load") {
                await withTaskCancellationHandler {
                    await load.value
                } onCancel: {
                    load.cancel()
                }
            }
            let settling = Settling(
                fleet: fleet,
                sender: scene.sender,
                watches: watches,
                limit: fault.limit,
                replaysInBulk: scene.draw(0...1) == 0
            )
            let loadEnd = ContinuousClock.now
            report.settlement = await settling.settle()
            judge(fault, scene, loadEnd, &report)
            await scene.endKept()
        } catch {
            report.failure = "\(error)"
        }
        report.uploads = scene.ledger.promises.count
        report.repeated = scene.ledger.repeated
        report.settlement.tally.parts = scene.ledger.parts
        report.notes = scene.said + Array(scene.ledger.oddities.prefix(3))
        for promise in scene.ledger.promises {
            if let reason = promise.gaveUp { report.settlement.problems.append("gave up: \(reason)") }
        }
        for target in fleet.targets { try? FileManager.default.removeItem(atPath: target.root.path(fault.name)) }
        report.took = ContinuousClock.now - start
        return report
    }

    /// Holds the promised figure against what was measured. A load that goes on for longer than the figure is no delay:
    /// then the time counts from its end. What a greater load than the usual one leaves to be done takes longer than any
    /// figure by itself: the time is told, and not judged.
    private func judge(
        _ fault: some Fault,
        _ scene: Scene,
        _ loadEnd: ContinuousClock.Instant,
        _ report: inout Report
    ) {
        guard let figure = fault.figure, let marked = scene.marked else { return }
        let before = loadEnd - marked
        let measured = report.settlement.recovery + (before < figure ? max(before, .zero) : .zero)
        report.wellAfter = measured
        if measured > figure, settings.uploads <= Settings.usualUploads, report.failure == nil {
            report.failure = "all was well \(measured.short) after it, and \(figure.short) are promised"
        }
    }

    private func prepareTargets(_ fault: some Fault, _ plan: LoadPlan) throws {
        for target in fleet.targets {
            let path = target.root.path(fault.name)
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        for upload in plan.uploads where upload.replaces {
            guard let target = fleet.targets.first(where: { $0.name == upload.target }) else { continue }
            let path = URL(fileURLWithPath: target.root.path(upload.path))
            try Data(LoadPlan.previous(of: upload)).write(to: path)
        }
    }

    /// Eight clients, each with every eighth upload, none before its time.
    private func run(_ plan: LoadPlan, _ scene: Scene) async {
        let start = ContinuousClock.now
        await withTaskGroup(of: Void.self) { group in
            for client in 0..<Self.clients {
                let own = plan.uploads.filter { $0.number % Self.clients == client }.sorted { $0.begin < $1.begin }
                group.addTask {
                    for upload in own {
                        try? await Task.sleep(until: start + .milliseconds(upload.begin))
                        guard !Task.isCancelled else { return }
                        await scene.send(upload)
                    }
                }
            }
        }
    }
}

/// Runs work that is cancelled after a time, which is an error then.
func within(_ limit: Duration, _ what: String, _ work: @escaping @Sendable () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await work() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw NotInTime(description: "not within \(limit): \(what)")
        }
        try await group.next()
        group.cancelAll()
    }
}

extension Duration {
    /// Seconds with one digit.
    var short: String {
        let tenths = Int((self / .milliseconds(100)).rounded())
        return "\(tenths / 10).\(tenths % 10) s"
    }
}
