// What the tests of the SFTP client share.

import COpenSSL
import Foundation
import Harness
import Logging
import NIOCore
import Testing

@testable import SFTP

extension SFTPServer {
    /// A configuration that this server lets in.
    var configuration: SSHConfiguration {
        SSHConfiguration(
            host: host,
            port: port,
            user: user,
            credentials: .key(file: keyFile),
            hostKeys: [hostKeyFingerprint]
        )
    }

    func connect(_ change: (inout SSHConfiguration) -> Void = { _ in }) async throws -> SFTPSession {
        var configuration = configuration
        change(&configuration)
        return try await SFTPSession.connect(configuration, logger: quiet)
    }

    /// A path in the target's directory that no other test uses.
    func fresh(_ name: String = "file") -> String { clientPath("\(name)-\(UUID().uuidString)") }
}

extension SSHServer {
    /// Makes a key that from now on is the only one this server lets in; the ways to log in with it.
    func onlyKey(
        _ type: String,
        passphrase: String?,
        at path: String
    ) async throws -> [SSHCredential] {
        let report = try await ChildProcess.run(
            "ssh-keygen",
            ["-q", "-t", type, "-N", passphrase ?? "", "-f", path]
        )
        #expect(report.isSuccess)
        try put(try contents(path + ".pub"), authorizedKeysFile)
        return [.key(file: path, passphrase: passphrase), .key(pem: try contents(path), passphrase: passphrase)]
    }
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

extension SeededGenerator {
    /// Random bytes.
    mutating func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { room, filled in
            let bytes = UnsafeMutableRawBufferPointer(room)
            var offset = 0
            while offset + 8 <= count {
                bytes.storeBytes(of: next(), toByteOffset: offset, as: UInt64.self)
                offset += 8
            }
            let last = next()
            while offset < count {
                bytes[offset] = UInt8(truncatingIfNeeded: last >> UInt64(offset % 8 * 8))
                offset += 1
            }
            filled = count
        }
    }
}

func sha256(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 0
    let bytes = Array(bytes)
    _ = EVP_Digest(bytes, bytes.count, &digest, &length, EVP_sha256(), nil)
    return digest
}

func contents(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }

func put(_ bytes: [UInt8], _ path: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }

/// Open descriptors of this process.
func descriptorCount() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }

/// The error `body` throws, as an SFTPError; nil if it throws none or another.
func failure(_ body: () async throws -> Void) async -> SFTPError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? SFTPError
    }
}

func statusCode(_ error: SFTPError?) -> SFTPStatus? {
    if case .status(let code, _, _, _) = error { code } else { nil }
}

/// Like `#expect(a == b)`, for expressions that change something, which the macro does not take.
func equal<Value: Equatable>(_ found: Value, _ expected: Value, at location: SourceLocation = #_sourceLocation) {
    #expect(found == expected, sourceLocation: location)
}

/// Tests against real servers run one after the other: some measure time, all share two processors.
@Suite(.serialized) enum WithServer {}
