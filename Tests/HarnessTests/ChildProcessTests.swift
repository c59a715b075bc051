// Children of tests: their output, their end, and that they never outlive whom they belong to.

import Foundation
import Glibc
import Harness
import Testing

@Suite struct ChildProcessTests {
    @Test func reportsStatusAndOutput() async throws {
        let report = try await ChildProcess.run("sh", ["-c", "echo out; echo err >&2; exit 3"])
        #expect(report.exit == .status(3))
        #expect(report.output == "out\n")
        #expect(report.errors == "err\n")
    }

    @Test func environmentIsAddedAndRemoved() async throws {
        let report = try await ChildProcess.run(
            "sh",
            ["-c", "echo ${ADDED-none} ${HOME-none}"],
            environment: ["ADDED": "yes", "HOME": nil]
        )
        #expect(report.output == "yes none\n")
    }

    @Test func runsInTheDirectory() async throws {
        let place = try TemporaryDirectory("here")
        #expect(try await ChildProcess.run("pwd", directory: place.path).output == place.path + "\n")
    }

    @Test func aProgramThatTakesTooLongIsKilled() async throws {
        await #expect(throws: NotInTime.self) {
            try await ChildProcess.run("sleep", ["1000"], within: .milliseconds(100))
        }
    }

    @Test func stopEscalatesAndTakesDescendantsAlong() async throws {
        let place = try TemporaryDirectory("family")
        let child = try ChildProcess(
            "bash",
            ["-c", "trap '' TERM; setsid sleep 1000 & echo $!; while :; do wait; done"],
            output: place.path("output")
        )
        let grandchild = try await eventuallyValue("the grandchild's pid") {
            Int32(child.output.trimmingCharacters(in: .newlines))
        }
        #expect(await child.stop(within: .milliseconds(200)) == .signal(SIGKILL))
        try await eventually("the grandchild is gone") { !isAlive(grandchild) }
    }

    @Test func releasingItEndsIt() async throws {
        var child: ChildProcess? = try ChildProcess("sleep", ["1000"])
        let pid = try #require(child?.pid)
        #expect(kill(pid, 0) == 0)
        child = nil
        #expect(kill(pid, 0) == -1)
    }

    @Test func inheritsNoDescriptors() async throws {
        let port = try FreePort.next()
        let proxy = try FaultProxy(to: port)
        let report = try await ChildProcess.run("ls", ["-l", "/proc/self/fd"])
        #expect(!report.output.contains("socket:"), "\(report.output)")
        proxy.stop()
    }

    @Test func eventuallySaysWhatItWaitedFor() async {
        let error = await #expect(throws: NotInTime.self) {
            try await eventually("pigs fly", within: .milliseconds(50)) { throw HarnessError("no wings") }
        }
        #expect(error?.description.contains("pigs fly") == true)
        #expect(error?.description.contains("no wings") == true)
    }

    /// A process that ended and was not yet waited for by its new parent is gone as well.
    private func isAlive(_ pid: Int32) -> Bool {
        let status = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
        guard let end = status.lastIndex(of: ")") else { return false }
        return !status[end...].hasPrefix(") Z")
    }
}
