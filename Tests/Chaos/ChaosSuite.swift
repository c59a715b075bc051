// The fault suite: breaks a whole Ferry in every way of the list, and counts what was lost.

import Foundation
import Harness

@main
struct ChaosSuite {
    static func main() async {
        let environment = ProcessInfo.processInfo.environment
        do {
            let settings = try Settings(environment: environment)
            if settings.faults == ["teeth"] { exit(try await bite(settings) ? 0 : 1) }
            let faults = try Faults.named(settings.faults)
            say("SEED=\(settings.seed) UPLOADS=\(settings.uploads), \(faults.count) faults")
            let tally = try await run(faults, settings, programs: programs)
            exit(tally ? 0 : 1)
        } catch {
            FileHandle.standardError.write(Data("chaos: \(error)\n".utf8))
            exit(2)
        }
    }

    /// Runs faults and prints their lines; true if nothing was lost and every fault took place.
    private static func run(_ faults: [any Fault], _ settings: Settings, programs: String) async throws -> Bool {
        let fleet = try await Fleet(programs: programs, directory: ProjectRoot.path(".stack-chaos"))
        let runner = Runner(fleet: fleet, settings: settings)
        var tally = Tally()
        var isGood = true
        var table = Report.headings
        for fault in faults {
            let report = await runner.run(fault)
            say(report.line)
            table += "\n" + report.row
            if report.isGood { for open in report.settlement.slow.prefix(4) { say("    after 20 s: \(open)") } }
            if !report.isSkipped {
                tally += report.settlement.tally
                isGood = isGood && report.isGood
            }
            if !report.isGood, !report.isSkipped {
                if let failure = report.failure { say("    failed: \(failure)") }
                let problems = report.settlement.problems
                for problem in problems.prefix(10) { say("    \(problem)") }
                if problems.count > 10 { say("    and \(problems.count - 10) more") }
                try await fleet.forget()
            }
        }
        await fleet.stop()
        let place = ProjectRoot.path(".stack-chaos/table.md")
        try (table + "\n").write(toFile: place, atomically: true, encoding: .utf8)
        say("\(tally.acknowledged) uploads and \(tally.parts) parts were acknowledged")
        say(tally.line)
        return isGood
    }

    /// Breaks guarantees on purpose; true if the checker reported each of them.
    private static func bite(_ settings: Settings) async throws -> Bool {
        say("SEED=\(settings.seed) UPLOADS=\(settings.uploads), \(Faults.teeth.count) broken guarantees")
        let fleet = try await Fleet(programs: programs, directory: ProjectRoot.path(".stack-chaos"))
        let runner = Runner(fleet: fleet, settings: settings)
        var bites = 0
        for fault in Faults.teeth {
            let report = await runner.run(fault)
            let isReported = report.failure == nil && !report.settlement.tally.isClean
            bites += isReported ? 1 : 0
            let verdict = isReported ? "reported" : "NOT reported \(report.failure ?? "")"
            say("\(fault.name): \(fault.words): \(verdict): \(report.settlement.tally.line)")
            try await fleet.forget()
        }
        await fleet.stop()
        say("teeth: \(bites) of \(Faults.teeth.count) broken guarantees were reported")
        return bites == Faults.teeth.count
    }

    /// Where the programs of this build are: beside this one.
    private static var programs: String {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return own.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 }
    }
}

/// Prints a line at once, even into a file or a pipe.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
