// ferry upload: send files and watch them arrive; run again after any interruption, it goes on by itself.

internal import ArgumentParser
internal import Core
internal import Dispatch
internal import Foundation
internal import Glibc

struct UploadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upload",
        abstract: "Uploads files to TARGET:PATH.",
        discussion: "Interrupted? Run the same command again: what has arrived is not sent a second time."
    )

    @OptionGroup var options: ClientOptions

    @Option(help: "How many parts are sent at once.")
    var parallel = 4

    @Flag(help: "Replace a file that is there already.")
    var overwrite = false

    @Option(help: "The permission bits that the files get, in octal such as 0640; the target's own choice without.")
    var mode: String?

    @Flag(inversion: .prefixedNo, help: "Give the files the modification times that they have here.")
    var times = true

    @Flag(help: "Declare the SHA-256 of the whole file, which is proven before it appears; always done on resuming.")
    var digest = false

    @Flag(help: "Return once everything is accepted; do not wait until the file is in place.")
    var detach = false

    @Argument(help: "FILE... TARGET:PATH; a path that ends in '/' gets the file's name added.")
    var arguments: [String]

    func validate() throws {
        guard arguments.count >= 2 else { throw ValidationError("give at least one FILE and the TARGET:PATH") }
        guard (1...64).contains(parallel) else { throw ValidationError("--parallel must be 1 to 64") }
        if let mode, FileMode(octal: mode) == nil {
            throw ValidationError("--mode must be like 0640, with the owner's read bit")
        }
    }

    func run() async throws {
        let destination = try Destination(arguments[arguments.count - 1])
        let files = try arguments.dropLast().map { path throws(CommandFailure) in
            let file = try LocalFile(path)
            return (file, try destination.path(of: file.name, count: arguments.count - 1))
        }
        let work = Task {
            try await options.withClient(connections: parallel + 4) { client in
                for (file, path) in files { try await upload(file, to: path, on: destination.target, client) }
            }
        }
        // The first Ctrl-C stops cleanly; a second one is the system's own.
        signal(SIGINT, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
        source.setEventHandler {
            signal(SIGINT, SIG_DFL)
            Terminal.complain("stopped; run the same command again to go on", prefix: "\n")
            work.cancel()
        }
        source.resume()
        defer { source.cancel() }
        try await work.value
    }

    private func upload(_ file: LocalFile, to path: String, on target: String, _ client: FerryClient) async throws {
        let uploader = Uploader(client: client, parallel: parallel)
        let start = ContinuousClock.now
        let isRich = Terminal.isRich && !options.json
        let attributes = FinalAttributes(
            mode: mode.flatMap { FileMode(octal: $0) },
            modifiedAt: times ? file.modifiedAt : nil
        )
        let final = try await withThrowingTaskGroup(of: Void.self) { group in
            let (accepted, bars) = try await uploader.send(
                file,
                to: path,
                on: target,
                overwrite: overwrite,
                declaresDigest: digest,
                attributes: attributes
            ) { upload in
                let bars = ProgressBars(name: "\(target):\(path)", size: file.size, isShown: isRich)
                // Watched only for show, so only where it is shown.
                if isRich { group.addTask { await uploader.show(upload.id, bars) } }
                return bars
            }
            group.cancelAll()
            return detach ? accepted : try await uploader.follow(accepted.id, bars)
        }
        let seconds = start.duration(to: .now) / .seconds(1)
        if options.json { options.show(try await client.raw("GET", "/v1/uploads/\(final.id)").body) }
        switch final.state {
        case "done":
            if !options.json {
                let rate = Units.rate(Double(file.size) / max(seconds, 0.001))
                print(
                    "\(Terminal.plain(file.path)) -> \(target):\(Terminal.plain(path)): "
                        + "\(Units.bytes(file.size)) in \(Units.time(seconds)) (\(rate)), upload \(final.id)"
                )
            }
        case "failed":
            let error = final.error.map { "\($0.reason): \($0.detail)" } ?? "unknown reason"
            let code: CommandFailure.Code = final.error?.reason == "target-exists" ? .conflict : .failed
            throw CommandFailure(code, "upload \(final.id) failed: \(Terminal.plain(error))")
        case "cancelled", "expired":
            throw CommandFailure(.failed, "upload \(final.id) was \(final.state)")
        default:
            if !options.json { print("accepted: upload \(final.id) is \(final.state)") }
        }
    }
}
