// Turns a credential into what a login needs, reading files anew each time.

internal import Glibc

/// A credential with its files read.
enum LoadedCredential {
    case key([UInt8], passphrase: String?)
    case password(String)

    /// Reads the files a credential names; the error says which file and why, never what is in it.
    init(_ credential: SSHCredential, user: String) throws(SFTPError) {
        func failure(_ reason: String) -> SFTPError {
            .authenticationFailed(user: user, methods: [], reason: reason)
        }
        func contents(_ path: String, _ what: String) throws(SFTPError) -> [UInt8] {
            switch smallFile(path) {
            case .success(let bytes): return bytes
            case .failure(let problem): throw failure("\(what) file \(path): \(problem.text)")
            }
        }
        switch credential {
        case .keyFile(let path, let passphrase):
            self = .key(try contents(path, "key"), passphrase: passphrase)
        case .keyInMemory(let bytes, let passphrase):
            self = .key(bytes, passphrase: passphrase)
        case .password(let password):
            self = .password(password)
        case .passwordFile(let path):
            let bytes = try contents(path, "password")
            let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
            guard !line.isEmpty else { throw failure("password file \(path) is empty") }
            self = .password(String(decoding: line, as: UTF8.self))
        }
    }
}

private struct FileProblem: Error { var text: String }

/// Reads a file of at most 64 KiB.
private func smallFile(_ path: String) -> Result<[UInt8], FileProblem> {
    let bound = 64 * 1024
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return .failure(FileProblem(text: systemMessage(errno))) }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: bound + 1)
    var count = 0
    while count < bytes.count {
        let step = bytes.withUnsafeMutableBytes { room in
            room.baseAddress.map { read(descriptor, $0 + count, room.count - count) } ?? 0
        }
        if step < 0 {
            if errno == EINTR { continue }
            return .failure(FileProblem(text: systemMessage(errno)))
        }
        if step == 0 { return .success(Array(bytes.prefix(count))) }
        count += step
    }
    return .failure(FileProblem(text: "larger than \(bound) bytes"))
}
