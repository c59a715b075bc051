// The program: `Fuzz --list`, or `Fuzz TARGET` with libFuzzer's own arguments after it.

internal import CLibFuzzer
internal import Glibc

@main
struct Fuzz {
    /// All targets by name.
    static let targets: [FuzzTarget] = [
        .sftpReply, .sftpRequest, .keyExchange, .respReply, .redisCommand, .redisURL, .targetPath, .identifiers,
        .messages,
        .contentDigest, .percentEncoding, .tokens, .eventStream, .units, .glob, .multipartForm, .encodedForm, .fullPath,
    ]

    /// The target that the first argument names. A global, because libFuzzer's callback carries nothing along.
    static let selected = CommandLine.arguments.dropFirst().first.flatMap { name in
        targets.first { $0.name == name }
    }

    static func main() {
        guard selected != nil else {
            for target in targets { print(target.name) }
            exit(CommandLine.arguments.dropFirst() == ["--list"] ? 0 : 2)
        }
        // libFuzzer keeps the arguments as long as the program lives.
        var arguments: [UnsafeMutablePointer<CChar>?] =
            ([CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)).map { strdup($0) } + [nil]
        let status = arguments.withUnsafeMutableBufferPointer { buffer in
            var count = CInt(buffer.count - 1)
            var start = buffer.baseAddress
            return LLVMFuzzerRunDriver(&count, &start, { fuzzOneInput($0, $1) })
        }
        exit(status)
    }
}

/// The entry that libFuzzer is linked against; it may only answer 0.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    Fuzz.selected?.check(FuzzInput(UnsafeRawBufferPointer(start: data, count: size)))
    return 0
}

/// A parser with what must hold for every input.
struct FuzzTarget: Sendable {
    /// Also the name of its corpus.
    let name: String
    /// Ends the program where something does not hold.
    let check: @Sendable (FuzzInput) -> Void
}

/// Ends the program in the way that libFuzzer takes for a finding, and says what did not hold.
func expect(_ holds: Bool, _ what: @autoclosure () -> String) {
    guard !holds else { return }
    let line = Array("does not hold: \(what())\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    abort()
}
