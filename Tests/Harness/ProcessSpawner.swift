// The one thread from which all children are started.

import Foundation
import Glibc
import Synchronization

/// Starts programs that die with the test process.
///
/// The kernel sends the parent-death signal when the *thread* that started a child ends, not when the process does.
/// Threads of a pool end when they are idle, so children are started from a thread that never ends.
enum ProcessSpawner {
    struct Request: Sendable {
        var program: String
        var arguments: [String]
        var environment: [String: String]
        var directory: String?
        var output: String
        var errors: String
    }

    /// Starts the program in a process group of its own and returns its pid.
    static func spawn(_ request: Request) throws -> Int32 {
        let answer = Answer()
        jobs.add { answer.set(Result { try spawnHere(request) }) }
        return try answer.get()
    }

    private static let jobs: Jobs = {
        let jobs = Jobs()
        Thread.detachNewThread { jobs.runForEver() }
        return jobs
    }()

    private final class Jobs: Sendable {
        private let waiting = Mutex<[@Sendable () -> Void]>([])
        private let available = DispatchSemaphore(value: 0)

        func add(_ job: @escaping @Sendable () -> Void) {
            waiting.withLock { $0.append(job) }
            available.signal()
        }

        func runForEver() {
            while true {
                available.wait()
                waiting.withLock { $0.isEmpty ? nil : $0.removeFirst() }?()
            }
        }
    }

    private final class Answer: Sendable {
        private let result = Mutex<Result<Int32, any Error>?>(nil)
        private let done = DispatchSemaphore(value: 0)

        func set(_ value: Result<Int32, any Error>) {
            result.withLock { $0 = value }
            done.signal()
        }

        // Bounded by the spawn itself: no wait on anything outside.
        func get() throws -> Int32 {
            done.wait()
            guard let value = result.withLock({ $0 }) else { throw HarnessError("no answer of the spawning thread") }
            return try value.get()
        }
    }

    private static func spawnHere(_ request: Request) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let append = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, request.output, append, 0o600)
        if request.errors == request.output {
            posix_spawn_file_actions_adddup2(&actions, 1, 2)
        } else {
            posix_spawn_file_actions_addopen(&actions, 2, request.errors, append, 0o600)
        }
        for descriptor in openDescriptors() { posix_spawn_file_actions_addclose(&actions, descriptor) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        posix_spawnattr_setflags(&attributes, Int16(truncatingIfNeeded: Int(flags)))

        let place = request.directory.map { ["env", "-C", $0] } ?? []
        let words = ["setpriv", "--pdeathsig", "KILL", "--"] + place + [request.program] + request.arguments
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = request.environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { (argv + envp).forEach { free($0) } }

        var pid: pid_t = 0
        let code = posix_spawnp(&pid, "setpriv", &actions, &attributes, &argv, &envp)
        guard code == 0 else { throw HarnessError.system("starting \(request.program)", code) }
        return pid
    }

    /// What a child must not inherit: a listener or connection of a test that stays open in it would not end.
    private static func openDescriptors() -> [Int32] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        // Closing one that is closed by now is no error to posix_spawn; the spare ones are for other threads' opens.
        let highest = names.compactMap { Int32($0) }.max() ?? 2
        return Array(3...(highest + 16))
    }
}
