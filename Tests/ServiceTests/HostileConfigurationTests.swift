// HostileConfigurationTests: files that are no YAML, or YAML made to do harm, end in one clear message, soon.

import Testing

@testable import Service

struct HostileConfigurationTests {
    @Test func aliasBombIsRefusedUnopened() {
        var yaml = "a0: &a0 [x, x]\n"
        for level in 1...40 { yaml += "a\(level): &a\(level) [*a\(level - 1), *a\(level - 1)]\n" }
        yaml += "? *a40\n: 1\n"
        let expected = "expected no YAML anchors and aliases, found \"&a0\"; a text that begins so needs quotes"
        #expect(problems(yaml + target) == ["ferry.yaml:1: \(expected)"])
    }

    @Test(arguments: [
        "a: &x 1", "a: *x", "? *x : 1", "*x : 1", "[*x]", "{a: 1,*x : 2}", "{\"a\":*x}", "- *x", "a: !!str &x b",
        "a: 'y\n*x", "a: \"# \\\" # *x\"", "worker: { targets: [*] }", "a: [b,&c d]", "a:\t*x",
        "a: 'it''s' # 'x\nb: *y",
        "a: x 'y, b: *x 'z", "{a: x\n'y', b: *x, c: 'w}",
    ])
    func everyAliasIsSeen(yaml: String) {
        let found = problems(yaml)
        #expect(found.count == 1)
        #expect(found.first?.contains("expected no YAML anchors and aliases") == true, "\(found)")
    }

    @Test(arguments: [
        "# *all* of them & more", "listen: 127.0.0.1:80 # see *this*", "worker: { targets: [\"*\", '*-x', a*b, w-*] }",
        "worker:\n  targets:\n    - \"*\"\n    - web-*\n", "staging: { path: \"/a & b/#c\" } # &x 'y",
        "staging: { path: '/it''s*' }", "staging: { path: /a*b }", "\u{FEFF}listen: 127.0.0.1:80",
        "listen: 127.0.0.1:80\r\nstaging: {}\r\n",
    ])
    func whatIsNoAliasIsLeftAlone(yaml: String) {
        #expect(problems(yaml + "\n" + target) == [])
    }

    @Test func hashWithinQuotesIsNoComment() throws {
        let configuration = try FerryConfiguration.parse(yaml: "staging: { path: \"/a #b\" } # c\n" + target)
        #expect(configuration.staging.path == "/a #b")
    }

    @Test(arguments: [
        String(repeating: "[", count: 100_000), String(repeating: "{a: ", count: 100_000),
        String(repeating: "- ", count: 100_000) + "a", String(repeating: "? ", count: 100_000) + "a",
        String(repeating: "[\"]\",", count: 100_000),
        (0..<1_200).map { String(repeating: " ", count: $0) + "a:\n" }.joined(),
    ])
    func deepNestingIsRefused(yaml: String) {
        let found = problems(yaml)
        #expect(found.count == 1)
        #expect(found.first?.hasSuffix(": expected at most 32 levels of nesting") == true, "\(found)")
    }

    @Test func nestingThatTheScannerAllowsIsNotFollowed() {
        let deep = (0..<900).map { String(repeating: " ", count: $0) + "a:\n" }.joined()
        #expect(problems(deep + target) == ["ferry.yaml:1: a: unknown key; expected one of " + rootKeys])
    }

    private let rootKeys = "amqp, auth, http, listen, redis, retry, staging, targets, uploads, worker"

    @Test func sizeIsBounded() {
        let yaml = String(repeating: "a", count: (1 << 20) + 1)
        #expect(problems(yaml) == ["ferry.yaml: expected at most 1MiB of YAML"])
    }

    @Test func problemsAreBounded() {
        let yaml = (0..<5_000).map { "key\($0): 1\n" }.joined()
        #expect(problems(yaml).count == 100)
    }

    @Test(arguments: [
        "a: [", "a: b: c", "\tx: 1", "a: \"b", "a: 'b", "%YAML 9.9\n---\na: 1", "a: 1\n---\nb: 2", "]", "a: \"\\q\"",
        "a: \"\\uD800\"", "a: !<", "a: |9\n b", "a\u{0}b", "a: \u{1}", "@x", "`x", "{a: 1, b", "- a\nb: 1", "? [",
    ])
    func brokenYAMLHasOneClearProblem(yaml: String) {
        let found = problems(yaml)
        #expect(found.count == 1)
        #expect(found.first?.contains("expected") == true, "\(found)")
        #expect(found.first?.hasPrefix("ferry.yaml") == true, "\(found)")
        #expect(found.first?.contains("\n") == false)
    }

    @Test func duplicatesAreToldWithTheOthers() {
        let yaml = """
            staging:
              path: /a
              fsync: 7
              path: /b
            listen: 127.0.0.1:1
            "listen": 127.0.0.1:2
            targets:
              web: { host: h, user: u, key_file: /k, host_keys: [\(fingerprint)], root: /r, root: /s }
              web: {}
            """
        #expect(
            problems(yaml).map { String($0.prefix { $0 != "," }) } == [
                "ferry.yaml:2: staging.path: expected the key once",
                "ferry.yaml:3: staging.fsync: expected true or false",
                "ferry.yaml:5: listen: expected the key once",
                "ferry.yaml:8: targets.web: expected the key once",
                "ferry.yaml:9: targets.web.host: required key is missing; expected a host name or an IP address",
                "ferry.yaml:9: targets.web.user: required key is missing; expected a user name without spaces that does not begin with '-'",
                "ferry.yaml:9: targets.web.key_file: required key is missing; expected key_file or password_file",
                "ferry.yaml:9: targets.web.host_keys: required key is missing; expected a list of pinned fingerprints: there is no trust on first use",
                "ferry.yaml:9: targets.web.root: required key is missing; expected an absolute path without '.' and '..' components",
            ]
        )
    }

    @Test func manyDuplicatesAndOddKeysEndToo() {
        let many = String(repeating: "a: 1\n", count: 2_000)
        #expect(problems(many + target).contains { $0.contains("expected each key once, found more than one \"a\"") })
        #expect(problems("1: a\n\"1\": b\n" + target).contains { $0.contains("1: expected the key once") })
        #expect(problems("? [a]\n: 1\n? [a]\n: 2\n" + target).contains { $0.contains("expected each key once") })
        #expect(problems("[a]: 1\n" + target) == ["ferry.yaml:1: expected a plain key, found a list"])
        #expect(problems("<<: { listen: 127.0.0.1:1 }\n" + target).first?.contains("\"<<\": unknown key") == true)
    }

    @Test func messagesCannotForgeLines() {
        let found = problems(
            "\"a\\nferry.yaml:1: forged\\u202e\": 1\nstaging: { path: \"x\\r\\ny\\u2028\" }\n" + target
        )
        #expect(found.count == 2)
        for problem in found {
            #expect(problem.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0 != "\u{202e}" && $0 != "\u{2028}" })
        }
    }
}
