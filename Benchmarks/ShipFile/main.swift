// Ships one file over one or several SFTP sessions, as a worker does with parts; its peers are sftp and rclone.

import Glibc
import Logging
import NIOCore
import SFTP
import Synchronization

struct Usage: Error {}

func option(_ name: String) throws -> String {
    guard let index = CommandLine.arguments.firstIndex(of: "--\(name)"), index + 1 < CommandLine.arguments.count else {
        print("missing --\(name)")
        throw Usage()
    }
    return CommandLine.arguments[index + 1]
}

func number(_ name: String) throws -> Int {
    guard let number = Int(try option(name)), number > 0 else {
        print("--\(name) is no number")
        throw Usage()
    }
    return number
}

/// A local file, read from any place.
final class LocalFile: Sendable {
    let size: Int
    private let descriptor: CInt

    init(_ path: String) throws {
        descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Usage() }
        size = Int(lseek(descriptor, 0, SEEK_END))
    }

    deinit { close(descriptor) }

    func read(at offset: Int, _ length: Int) -> ByteBuffer? {
        var buffer = ByteBuffer()
        let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: length) { room in
            max(0, pread(descriptor, room.baseAddress, length, offset))
        }
        return count > 0 ? buffer : nil
    }
}

/// Sends one part to its place in a file that was not there before.
func ship(_ source: LocalFile, _ part: Range<Int>, to path: String, over session: SFTPSession) async throws {
    let file = try await session.open(path, [.write, .create], permissions: 0o600)
    let length = session.writeLength
    var position = part.lowerBound
    try await file.writeAndClose(at: UInt64(position)) {
        guard position < part.upperBound else { return nil }
        let piece = source.read(at: position, min(length, part.upperBound - position))
        position += piece?.readableBytes ?? 0
        return piece
    }
}

var configuration = SSHConfiguration(
    host: "127.0.0.1",
    port: try number("port"),
    user: try option("user"),
    credentials: .key(file: try option("key")),
    hostKeys: [try option("host-key")]
)
guard let transport = SSHConfiguration.Transport(rawValue: try option("transport")) else { throw Usage() }
configuration.transport = transport
configuration.ciphers = [try option("cipher")]
configuration.macs = [try option("mac")]
let sessions = try number("sessions")
let path = try option("path")
let source = try LocalFile(try option("source"))
// One session takes the file as one part; several share it out.
let partSize = sessions == 1 ? max(source.size, 1) : try number("part-size")

let clock = ContinuousClock()
let begin = clock.now
var limits = PoolLimits(sessions: sessions)
// There is nothing else to do before they are there.
limits.handshakes = sessions
let pool = SFTPPool(configuration: configuration, limits: limits, logger: Logger(label: "ship"))
let next = Atomic<Int>(0)
try await withThrowingTaskGroup(of: Void.self) { group in
    // Two parts a session, so that none stands still between them.
    for _ in 0..<(sessions == 1 ? 1 : 2 * sessions) {
        group.addTask {
            while true {
                let start = next.add(1, ordering: .relaxed).oldValue * partSize
                guard start < source.size else { return }
                let part = start..<min(start + partSize, source.size)
                try await pool.withSession { try await ship(source, part, to: path, over: $0) }
            }
        }
    }
    try await group.waitForAll()
}
let live = pool.liveSessions
await pool.shutdown()
let elapsed = begin.duration(to: clock.now)
print("\(Int(Double(source.size) / (elapsed / .seconds(1)) / 1e6)) MB/s over \(live) session(s)")
