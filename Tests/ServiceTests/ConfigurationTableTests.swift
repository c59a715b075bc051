// ConfigurationTableTests: for every key, each kind of wrong value is refused with the key's path and line.

import Testing

@testable import Service

/// A key, the text before and after its value in an otherwise right file, its line, and values that it refuses.
struct WrongValues: Sendable, CustomTestStringConvertible {
    var key: String
    var values: [String]
    var allowsNull = false
    /// Null is as if the key were left out, which another test is about.
    var skipsNull = false
    /// Only beside `transport: openssh` is the key itself allowed.
    var needsOpenSSH = false
    var testDescription: String { key }

    /// The file with `value` at the key.
    func file(_ value: String) -> (yaml: String, line: Int) {
        let parts = key.split(separator: ".").map(String.init)
        if parts.first == "targets" {
            var lines = [
                ("host", "h"), ("user", "u"), ("key_file", "/k"), ("host_keys", "[\(fingerprint)]"), ("root", "/r"),
            ]
            if needsOpenSSH { lines.append(("transport", "openssh")) }
            let name = parts[2]
            if name == "password_file" { lines.removeAll { $0.0 == "key_file" } }
            lines.removeAll { $0.0 == name }
            lines.append((name, value))
            let yaml = "targets:\n  web:\n" + lines.map { "    \($0.0): \($0.1)\n" }.joined()
            return (yaml, lines.count + 2)
        }
        if parts.count == 1 { return ("\(key): \(value)\n" + target, 1) }
        if parts.count == 3 {
            let other = parts[2] == "key_file" ? "certificate_file" : "key_file"
            return ("\(parts[0]):\n  \(parts[1]):\n    \(other): /o\n    \(parts[2]): \(value)\n" + target, 4)
        }
        return ("\(parts[0]):\n  \(parts[1]): \(value)\n" + target, 2)
    }
}

private let containers = ["[]", "{}", "[1, 2]", "{ a: 1 }"]
private let notPaths = ["5", "true", "relative", "./x", "/a/../b", "/a/.", "\"/a\\nb\"", "\"\"", "1.5"] + containers
private let notIntegers = ["many", "1.5", "-1", "true", "0x10", "1_0", "\"7\"", "9999999999999999999"] + containers
private let notSizes = ["big", "-1", "1.5GiB", "true", "10 MiBs", "99999999TiB"] + containers
private let notDurations = ["soon", "5", "-1s", "1.5s", "true", "99999999d"] + containers
private let notChoices = ["maybe", "true", "5", "Auto", "\"\""] + containers

struct ConfigurationTableTests {
    static let keys: [WrongValues] = [
        WrongValues(key: "listen", values: ["8080", "true", "host", "host:x", "host:65536", "\"\""] + containers),
        WrongValues(key: "staging", values: ["5", "/path", "true", "[]"], allowsNull: true),
        WrongValues(key: "staging.path", values: notPaths),
        WrongValues(key: "staging.fsync", values: ["1", "yes", "on", "TRUE", "\"true\"", "maybe"] + containers),
        WrongValues(key: "staging.max_bytes", values: notSizes + ["0", "1KiB"]),
        WrongValues(
            key: "redis.url",
            values: ["5", "true", "localhost", "\"http://h\"", "\"amqp://h\"", "\"redis://h/x\"", "\"redis://h/-1\""]
                + containers
        ),
        WrongValues(key: "redis.password_file", values: notPaths, allowsNull: true),
        WrongValues(key: "amqp.url", values: ["5", "true", "localhost", "\"redis://h\"", "\"amqp://\""] + containers),
        WrongValues(key: "amqp.password_file", values: notPaths, allowsNull: true),
        WrongValues(key: "http.tls", values: ["5", "true", "/path", "[]", "{}"], allowsNull: true),
        WrongValues(key: "http.tls.certificate_file", values: notPaths),
        WrongValues(key: "http.tls.key_file", values: notPaths),
        WrongValues(key: "http.max_connections", values: notIntegers + ["0"]),
        WrongValues(key: "http.idle_timeout", values: notDurations + ["0s", "999ms"]),
        WrongValues(key: "http.min_rate", values: notSizes + ["2GiB"]),
        WrongValues(
            key: "http.allowed_origins",
            values: [
                "https://a", "5", "true", "{}", "[a.example]", "[\"https://A.example\"]", "[\"https://a/\"]",
                "[\"https://\"]", "[\"*\"]", "[null]", "[\"https://a\", \"https://a\"]", "[\"ftp://a\"]",
            ]
        ),
        WrongValues(key: "retry.base", values: notDurations + ["0s"]),
        WrongValues(key: "retry.max", values: notDurations + ["0s", "1s"]),
        WrongValues(key: "retry.attempts", values: notIntegers + ["0", "1001"]),
        WrongValues(key: "retry.disk_full_attempts", values: notIntegers + ["0"]),
        WrongValues(key: "auth.mode", values: notChoices),
        WrongValues(key: "auth.tokens_file", values: notPaths),
        WrongValues(key: "uploads.part_size", values: notSizes + ["0", "4095", "2GiB"]),
        WrongValues(key: "uploads.max_size", values: notSizes + ["0", "49TiB"]),
        WrongValues(key: "uploads.expire_after", values: notDurations + ["0s"]),
        WrongValues(
            key: "worker.roles",
            values: ["ship", "5", "true", "[]", "{}", "[ship, ship]", "[clean]", "[[ship]]", "[5]", "[ship, null]"]
        ),
        WrongValues(
            key: "worker.targets",
            values: ["web", "5", "true", "[]", "{}", "[\"\"]", "[[a]]", "[a, a]", "[\"a b\"]", "[null]"]
        ),
        WrongValues(key: "worker.drain", values: notDurations),
        WrongValues(key: "targets.web.host", values: ["5", "true", "-x", "\"a b\"", "\"a\\nb\"", "\"\""] + containers),
        WrongValues(key: "targets.web.port", values: notIntegers + ["0", "65536"]),
        WrongValues(key: "targets.web.user", values: ["5", "true", "-x", "\"a b\"", "\"a\\tb\"", "\"\""] + containers),
        WrongValues(key: "targets.web.key_file", values: notPaths),
        WrongValues(key: "targets.web.password_file", values: notPaths, skipsNull: true),
        WrongValues(
            key: "targets.web.host_keys",
            values: [
                "5", "true", "[]", "{}", fingerprint, "[MD5:aa]", "[\(fingerprint), \(fingerprint)]", "[5]",
                "[\(fingerprint)A]", "[\"SHA256:\"]", "[sha256:\(fingerprint.dropFirst(7))]",
            ]
        ),
        WrongValues(key: "targets.web.root", values: notPaths),
        WrongValues(key: "targets.web.sessions", values: notIntegers + ["0", "65"]),
        WrongValues(key: "targets.web.max_sessions", values: notIntegers + ["0"], allowsNull: true),
        WrongValues(key: "targets.web.transport", values: notChoices),
        WrongValues(key: "targets.web.certificate_file", values: notPaths, allowsNull: true, needsOpenSSH: true),
        WrongValues(
            key: "targets.web.jump",
            values: ["5", "true", "/path", "[]"],
            allowsNull: true,
            needsOpenSSH: true
        ),
        WrongValues(key: "targets.web.merge", values: notChoices + ["inPlace"]),
        WrongValues(key: "targets.web.verify", values: notChoices),
        WrongValues(key: "targets.web.durability", values: notChoices),
        WrongValues(
            key: "targets.web.file_mode",
            values: ["rw-r--r--", "888", "64", "0o640", "01644", "4755", "0240", "true", "1.5", "-640", "\"\""]
                + containers,
            allowsNull: true
        ),
        WrongValues(key: "targets.web.file_owner", values: notIntegers + ["4294967295"], allowsNull: true),
        WrongValues(key: "targets.web.file_group", values: notIntegers + ["4294967295"], allowsNull: true),
    ]

    @Test(arguments: keys)
    func wrongValueIsRefusedOnce(_ wrong: WrongValues) {
        for value in wrong.values + (wrong.allowsNull || wrong.skipsNull ? [] : ["null"]) {
            let (yaml, line) = wrong.file(value)
            let found = problems(yaml)
            #expect(found.count == 1, "\(wrong.key): \(value): \(found)")
            #expect(found.first?.hasPrefix("ferry.yaml:\(line): \(wrong.key): ") == true, "\(value): \(found)")
            #expect(found.first?.contains("expected") == true, "\(value): \(found)")
        }
        if wrong.allowsNull { #expect(problems(wrong.file("null").yaml) == []) }
    }

    @Test(arguments: ["host", "user", "host_keys", "root", "key_file"])
    func missingKeyOfATarget(key: String) {
        let kept = target.split(separator: "\n").filter { !$0.contains("    \(key):") }
        let found = problems(kept.joined(separator: "\n"))
        #expect(found.count == 1)
        #expect(
            found.first?.hasPrefix("ferry.yaml:2: targets.web-eu-1.\(key): required key is missing; expected") == true
        )
    }

    @Test func aJumpHostHasItsOwnAccountAndPins() throws {
        let jump = "jump: { host: gate, port: 2222, user: passer, key_file: /j, host_keys: [\(fingerprint)] }"
        let configuration = try FerryConfiguration.parse(
            yaml: target + "    transport: openssh\n    certificate_file: /c\n    \(jump)\n"
        )
        let found = try #require(configuration.targets.first)
        #expect(found.certificateFile == "/c")
        #expect(found.jump?.host == "gate")
        #expect(found.jump?.port == 2_222)
        #expect(found.jump?.user == "passer")
        #expect(found.jump?.keyFile == "/j")
        #expect(found.jump?.hostKeys == [fingerprint])
    }

    @Test(arguments: [("0640", UInt32(0o640)), ("\"0640\"", 0o640), ("640", 0o640), ("'400'", 0o400), ("0777", 0o777)])
    func aModeIsOctalQuotedOrNot(text: String, bits: UInt32) throws {
        let more = "    file_mode: \(text)\n    file_owner: 0\n    file_group: 4294967294\n"
        let found = try #require(try FerryConfiguration.parse(yaml: target + more).targets.first)
        #expect(found.fileMode == bits && found.fileOwner == 0 && found.fileGroup == 4_294_967_294)
        let plain = try #require(try FerryConfiguration.parse(yaml: target).targets.first)
        #expect(plain.fileMode == nil && plain.fileOwner == nil && plain.fileGroup == nil)
    }

    @Test(arguments: ["host", "user", "key_file", "host_keys"])
    func missingKeyOfAJumpHost(key: String) {
        let all = ["host": "gate", "user": "passer", "key_file": "/j", "host_keys": "[\(fingerprint)]"]
        let jump = all.filter { $0.key != key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")
        let found = problems(target + "    transport: openssh\n    jump: { \(jump) }\n")
        #expect(found.count == 1)
        #expect(found.first?.contains("targets.web-eu-1.jump.\(key): required key is missing; expected") == true)
    }

    @Test func unknownKeyOfAJumpHost() {
        let jump = "host: g, user: p, key_file: /j, host_keys: [\(fingerprint)], zzzzz: 1"
        let found = problems(target + "    transport: openssh\n    jump: { \(jump) }\n")
        #expect(found.count == 1)
        #expect(found.first?.contains("targets.web-eu-1.jump.zzzzz: unknown key; expected one of ") == true)
    }

    @Test(arguments: ["", "    transport: auto\n", "    transport: libssh2\n"])
    func whatOnlyOneTransportCanIsRefusedWithTheOther(_ transport: String) {
        let jump = "jump: { host: g, user: p, key_file: /j, host_keys: [\(fingerprint)] }"
        let found = problems(target + transport + "    certificate_file: /c\n    \(jump)\n")
        #expect(found.count == 2)
        #expect(found.allSatisfy { $0.contains("expected transport: openssh beside it") })
    }

    @Test(arguments: ["staging", "redis", "amqp", "http", "retry", "auth", "uploads", "worker"])
    func unknownKeyOfASection(section: String) {
        let found = problems("\(section): { zzzzz: 1 }\n" + target)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("ferry.yaml:1: \(section).zzzzz: unknown key; expected one of ") == true)
    }

    @Test func unknownKeyElsewhere() {
        #expect(problems("zzzzz: 1\n" + target).first?.hasPrefix("ferry.yaml:1: zzzzz: unknown key; expected") == true)
        #expect(
            problems(target + "    zzzzz: 1\n").first?.hasPrefix("ferry.yaml:8: targets.web-eu-1.zzzzz: unknown key")
                == true
        )
        let tls = "http: { tls: { certificate_file: /c, key_file: /k, zzzzz: 1 } }\n"
        #expect(problems(tls + target).first?.hasPrefix("ferry.yaml:1: http.tls.zzzzz: unknown key") == true)
    }

    @Test func secretsAreNotRepeated() {
        let found = problems("redis: { url: 'redys://:hidden@h' }\n" + target, ["FERRY_AMQP_URL": "http://u:hidden@h"])
        #expect(found.count == 2)
        #expect(!found.joined().contains("hidden"))
    }
}
