// SecretTests: what is read from secret files and from the configuration file on disk.

import Foundation
import Testing

@testable import Service

/// A directory of its own for one test, gone at its end.
struct TemporaryDirectory: ~Copyable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("ferry-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes `bytes` to a file of that name and returns its path.
    func write(_ bytes: some Sequence<UInt8>, to name: String, mode: Int = 0o600) throws -> String {
        let file = "\(path)/\(name)"
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
        return file
    }
}

struct SecretTests {
    @Test(arguments: [
        ("word", "word"), ("word\n", "word"), ("word\r\n", "word"), ("word\n\n", "word\n"), (" word ", " word "),
        ("wörd\t\n", "wörd\t"),
    ])
    func oneLineBreakIsTrimmed(content: String, secret: String) throws {
        let directory = try TemporaryDirectory()
        let read = try readSecret(directory.write(content.utf8, to: "secret"))
        #expect(read.value == secret)
        #expect(read.warning == nil)
        #expect("\(read)" == "<secret>")
        #expect(!String(reflecting: Optional(read)).contains("w"))
    }

    @Test func openFileIsWarnedOf() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("x".utf8, to: "secret", mode: 0o644)
        let warning = try readSecret(path).warning
        #expect(warning == "\(path) holds a secret and is open to every user (mode 0644); use 0600")
    }

    @Test func unusableFilesAreNamed() throws {
        let directory = try TemporaryDirectory()
        let empty = try directory.write([], to: "empty")
        let blank = try directory.write("\n".utf8, to: "blank")
        let binary = try directory.write([0xFF, 0xFE], to: "binary")
        let large = try directory.write([UInt8](repeating: 65, count: (64 << 10) + 1), to: "large")
        let pipe = "\(directory.path)/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        let missing = "\(directory.path)/missing"
        for (path, words) in [
            (empty, "found an empty file"), (blank, "found an empty file"), (binary, "UTF-8"), (large, "at most 64KiB"),
            (pipe, "no regular file"), (directory.path, "no regular file"), (missing, "No such file"),
        ] {
            let error = #expect(throws: ConfigurationError.self) { try readSecret(path) }
            #expect(error?.description.hasPrefix(path) == true)
            #expect(error?.description.contains(words) == true, "\(String(describing: error))")
        }
    }

    @Test func configurationFileIsFound() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(sample.utf8, to: "ferry.yaml")
        let byPath = try FerryConfiguration.load(path: file, environment: ["FERRY_CONFIG": "/nowhere"])
        let byVariable = try FerryConfiguration.load(environment: ["FERRY_CONFIG": file])
        #expect(byPath == byVariable)
        #expect(try byPath == FerryConfiguration.parse(yaml: sample))

        let neither = #expect(throws: ConfigurationError.self) { try FerryConfiguration.load(environment: [:]) }
        #expect(neither?.description.contains("--config or FERRY_CONFIG, found neither") == true)
        let missing = #expect(throws: ConfigurationError.self) {
            try FerryConfiguration.load(path: "\(directory.path)/none", environment: [:])
        }
        #expect(missing?.description.contains("cannot read it: No such file or directory") == true)
        let latin = try directory.write([0x61, 0xE4], to: "latin.yaml")
        #expect(throws: ConfigurationError.self) { try FerryConfiguration.load(path: latin, environment: [:]) }
        let wrong = try directory.write("listen: x\n".utf8, to: "wrong.yaml")
        let error = #expect(throws: ConfigurationError.self) {
            try FerryConfiguration.load(path: wrong, environment: [:])
        }
        #expect(error?.description.contains("\(wrong):1: listen: expected host:port") == true)
    }

    @Test func passwordFileTakesPrecedence() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write("from-file\n".utf8, to: "password")
        let url = try #require(ServerURL("amqp://u:from-url@h"))
        #expect(try ServerConfiguration(url: url, passwordFile: file).password()?.value == "from-file")
        #expect(try ServerConfiguration(url: url).password()?.value == "from-url")
        let bare = try #require(ServerURL("amqp://h"))
        #expect(try ServerConfiguration(url: bare).password() == nil)
    }
}
