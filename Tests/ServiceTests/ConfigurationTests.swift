// ConfigurationTests: what a right file means, what the environment changes, and what is said of a wrong one.

import Testing

@testable import Service

let fingerprint = "SHA256:" + String(repeating: "A", count: 43)
let otherFingerprint = "SHA256:" + String(repeating: "b/", count: 21) + "+"

/// The least of a target.
let target = """
    targets:
      web-eu-1:
        host: 10.0.0.5
        user: deploy
        key_file: /etc/ferry/keys/web-eu-1
        host_keys: ["\(fingerprint)"]
        root: /srv/incoming

    """

/// Every key there is, each with its default but for the target's own.
let sample = """
    listen: 127.0.0.1:8080
    staging: { path: /var/lib/ferry/staging, fsync: true, max_bytes: 500GiB }
    redis: { url: "redis://127.0.0.1:6379/0", password_file: null }
    amqp: { url: "amqp://ferry@127.0.0.1:5672/ferry", password_file: null }
    http: { tls: null, max_connections: 10000, idle_timeout: 60s, min_rate: 1KiB, allowed_origins: [] }
    retry: { base: 2s, max: 10m, attempts: 12, disk_full_attempts: 3 }
    auth: { mode: tokens, tokens_file: /etc/ferry/tokens }    # mode: none is refused unless listen is loopback
    uploads: { part_size: 10MiB, max_size: 5TiB, expire_after: 7d }
    worker: { roles: [ship, merge], targets: ["*"], drain: 30s }
    targets:
      web-eu-1:
        host: 10.0.0.5
        port: 22
        user: deploy
        key_file: /etc/ferry/keys/web-eu-1
        host_keys: ["\(fingerprint)"]            # pinned; two allowed, for rotation; there is no trust-on-first-use
        root: /srv/incoming
        sessions: 4                        # a worker; max_sessions: over the whole fleet
        transport: auto                    # libssh2 | openssh
        merge: auto                        # in-place | copy | script | relay | stream
        verify: auto                       # digest | size | readback
        durability: fsync                  # none

    """

/// What `parse` says is wrong; empty where it accepts the text.
func problems(_ yaml: String, _ environment: [String: String] = [:]) -> [String] {
    do {
        _ = try FerryConfiguration.parse(yaml: yaml, environment: environment)
        return []
    } catch {
        return error.problems.map(\.description)
    }
}

struct ConfigurationTests {
    @Test func everyKeyOfTheSampleIsItsDefault() throws {
        let full = try FerryConfiguration.parse(yaml: sample)
        let least = try FerryConfiguration.parse(yaml: target)
        #expect(full == least)
        #expect(full.warnings == [])
    }

    @Test func defaults() throws {
        let configuration = try FerryConfiguration.parse(yaml: target)
        #expect(configuration.listen == ListenConfiguration(host: "127.0.0.1", port: 8080))
        #expect(configuration.staging.path == "/var/lib/ferry/staging")
        #expect(configuration.staging.fsync)
        #expect(configuration.staging.maxBytes == 536_870_912_000)
        #expect(configuration.redis.url.value == "redis://127.0.0.1:6379/0")
        #expect(configuration.redis.passwordFile == nil)
        #expect(configuration.amqp.url.value == "amqp://ferry@127.0.0.1:5672/ferry")
        #expect(configuration.amqp.url.user == "ferry")
        #expect(configuration.amqp.url.path == "ferry")
        #expect(configuration.http.tls == nil)
        #expect(configuration.http.maxConnections == 10_000)
        #expect(configuration.http.idleTimeout == .seconds(60))
        #expect(configuration.http.minRate == 1_024)
        #expect(configuration.retry.base == .seconds(2))
        #expect(configuration.retry.max == .seconds(600))
        #expect(configuration.retry.attempts == 12)
        #expect(configuration.retry.diskFullAttempts == 3)
        #expect(configuration.auth.mode == .tokens)
        #expect(configuration.auth.tokensFile == "/etc/ferry/tokens")
        #expect(configuration.uploads.partSize == 10_485_760)
        #expect(configuration.uploads.maxSize == 5_497_558_138_880)
        #expect(configuration.uploads.expireAfter == .seconds(604_800))
        #expect(configuration.worker.roles == [.ship, .merge])
        #expect(configuration.worker.targets == [Glob("*")])
        #expect(configuration.worker.drain == .seconds(30))
        let target = try #require(configuration.target("web-eu-1"))
        #expect(configuration.targets == [target])
        #expect(target.host == "10.0.0.5")
        #expect(target.port == 22)
        #expect(target.user == "deploy")
        #expect(target.credential == .keyFile("/etc/ferry/keys/web-eu-1"))
        #expect(target.hostKeys == [fingerprint])
        #expect(target.root == "/srv/incoming")
        #expect(target.sessions == 4)
        #expect(target.maxSessions == nil)
        #expect(target.transport == .auto)
        #expect(target.merge == .auto)
        #expect(target.verify == .auto)
        #expect(target.durability == .fsync)
    }

    @Test func everyKeyIsRead() throws {
        let yaml = """
            listen: "[::]:9000"
            staging: { path: /data, fsync: false, max_bytes: 2TB }
            redis: { url: "rediss://r:1/2", password_file: /run/redis }
            amqp: { url: "amqps://b/%2F", password_file: /run/amqp }
            http:
              tls: { certificate_file: /c.pem, key_file: /k.pem }
              max_connections: 7
              idle_timeout: 5s
              min_rate: 0
              allowed_origins: ["https://a.example", "http://localhost:8000"]
            retry: { base: 50ms, max: 5s, attempts: 2, disk_full_attempts: 1 }
            auth: { mode: tokens, tokens_file: /t }
            uploads: { part_size: 4KiB, max_size: 1MB, expire_after: 1h }
            worker: { roles: [merge], targets: [web-*, "db"], drain: 0s }
            targets:
              b:
                host: files.example
                port: 2222
                user: "007"
                password_file: /run/b
                host_keys:
                  - \(fingerprint)
                  - \(otherFingerprint)
                root: /
                sessions: 1
                max_sessions: 9
                transport: openssh
                merge: in-place
                verify: readback
                durability: none
              a: { host: h, user: u, key_file: /k, host_keys: [\(fingerprint)], root: /r }
            """
        let configuration = try FerryConfiguration.parse(yaml: yaml)
        #expect(configuration.listen == ListenConfiguration(host: "::", port: 9_000))
        #expect(configuration.staging.path == "/data")
        #expect(!configuration.staging.fsync)
        #expect(configuration.staging.maxBytes == 2_000_000_000_000)
        #expect(configuration.redis.url == ServerURL("rediss://r:1/2"))
        #expect(configuration.redis.passwordFile == "/run/redis")
        #expect(configuration.amqp.url.path == "/")
        #expect(configuration.amqp.passwordFile == "/run/amqp")
        #expect(configuration.http.tls == .init(certificateFile: "/c.pem", keyFile: "/k.pem"))
        #expect(configuration.http.maxConnections == 7)
        #expect(configuration.http.idleTimeout == .seconds(5))
        #expect(configuration.http.minRate == 0)
        #expect(configuration.retry.base == .milliseconds(50))
        #expect(configuration.retry.max == .seconds(5))
        #expect(configuration.retry.attempts == 2)
        #expect(configuration.retry.diskFullAttempts == 1)
        #expect(configuration.auth.tokensFile == "/t")
        #expect(configuration.uploads.partSize == 4_096)
        #expect(configuration.uploads.maxSize == 1_000_000)
        #expect(configuration.uploads.expireAfter == .seconds(3_600))
        #expect(configuration.worker.roles == [.merge])
        #expect(configuration.worker.handles("web-1"))
        #expect(configuration.worker.handles("db"))
        #expect(!configuration.worker.handles("db-1"))
        #expect(configuration.worker.drain == .zero)
        #expect(configuration.targets.map(\.id) == ["b", "a"])
        let target = try #require(configuration.targets.first)
        #expect(target.port == 2_222)
        #expect(target.user == "007")
        #expect(target.passwordFile == "/run/b")
        #expect(target.keyFile == nil)
        #expect(target.hostKeys == [fingerprint, otherFingerprint])
        #expect(target.root == "/")
        #expect(target.sessions == 1)
        #expect(target.maxSessions == 9)
        #expect(target.transport == .openssh)
        #expect(target.merge == .inPlace)
        #expect(target.verify == .readback)
        #expect(target.durability == .none)
        #expect(
            configuration.warnings == ["staging.fsync is false: acknowledged parts may not survive a power failure"]
        )
    }

    @Test func environmentOverridesScalars() throws {
        let environment = [
            "FERRY_LISTEN": "0.0.0.0:81", "FERRY_STAGING_PATH": "/s", "FERRY_STAGING_FSYNC": "false",
            "FERRY_STAGING_MAX_BYTES": "3GiB", "FERRY_REDIS_URL": "redis://:hidden@r/1",
            "FERRY_REDIS_PASSWORD_FILE": "/p1", "FERRY_AMQP_URL": "amqp://u:hidden@b/v",
            "FERRY_AMQP_PASSWORD_FILE": "/p2", "FERRY_HTTP_TLS_CERTIFICATE_FILE": "/c",
            "FERRY_HTTP_TLS_KEY_FILE": "/k", "FERRY_HTTP_MAX_CONNECTIONS": "5", "FERRY_HTTP_IDLE_TIMEOUT": "9s",
            "FERRY_HTTP_MIN_RATE": "2KiB", "FERRY_RETRY_BASE": "1s", "FERRY_RETRY_MAX": "2s",
            "FERRY_RETRY_ATTEMPTS": "4", "FERRY_RETRY_DISK_FULL_ATTEMPTS": "2", "FERRY_AUTH_MODE": "tokens",
            "FERRY_AUTH_TOKENS_FILE": "/t", "FERRY_UPLOADS_PART_SIZE": "5MiB", "FERRY_UPLOADS_MAX_SIZE": "6MiB",
            "FERRY_UPLOADS_EXPIRE_AFTER": "1d", "FERRY_WORKER_ROLES": "merge, ship", "FERRY_WORKER_TARGETS": "a,b-*",
            "FERRY_WORKER_DRAIN": "1s",
        ]
        let configuration = try FerryConfiguration.parse(yaml: sample, environment: environment)
        #expect(configuration.listen == ListenConfiguration(host: "0.0.0.0", port: 81))
        #expect(configuration.staging.path == "/s")
        #expect(!configuration.staging.fsync)
        #expect(configuration.staging.maxBytes == 3 << 30)
        #expect(configuration.redis.url.password == "hidden")
        #expect(configuration.redis.passwordFile == "/p1")
        #expect(configuration.amqp.url.path == "v")
        #expect(configuration.amqp.passwordFile == "/p2")
        #expect(configuration.http.tls == .init(certificateFile: "/c", keyFile: "/k"))
        #expect(configuration.http.maxConnections == 5)
        #expect(configuration.http.idleTimeout == .seconds(9))
        #expect(configuration.http.minRate == 2_048)
        #expect(configuration.retry.base == .seconds(1))
        #expect(configuration.retry.max == .seconds(2))
        #expect(configuration.retry.attempts == 4)
        #expect(configuration.retry.diskFullAttempts == 2)
        #expect(configuration.auth.tokensFile == "/t")
        #expect(configuration.uploads.partSize == 5 << 20)
        #expect(configuration.uploads.maxSize == 6 << 20)
        #expect(configuration.uploads.expireAfter == .seconds(86_400))
        #expect(configuration.worker.roles == [.merge, .ship])
        #expect(configuration.worker.targets == [Glob("a"), Glob("b-*")])
        #expect(configuration.worker.drain == .seconds(1))
        #expect(
            configuration.warnings == ["staging.fsync is false: acknowledged parts may not survive a power failure"]
        )
        #expect(!"\(configuration)".contains("hidden"))
    }

    @Test func emptyVariablesCountAsUnset() throws {
        let configuration = try FerryConfiguration.parse(yaml: target, environment: ["FERRY_STAGING_PATH": ""])
        #expect(configuration.staging.path == "/var/lib/ferry/staging")
    }

    @Test func unknownVariablesAreWarnedOf() throws {
        let environment = [
            "FERRY_URL": "x", "FERRY_TOKEN": "x", "FERRY_TOKEN_OPS": "x", "FERRY_CONFIG": "x", "FERRY_LOG_LEVEL": "x",
            "FERRY_LOG_FORMAT": "x", "HOME": "x", "FERRY_STAGING_PAHT": "/s", "FERRY_TARGETS_WEB": "x",
        ]
        let configuration = try FerryConfiguration.parse(yaml: target, environment: environment)
        #expect(
            configuration.warnings == [
                "environment variable \"FERRY_STAGING_PAHT\" overrides no key of the configuration and is ignored; "
                    + "did you mean FERRY_STAGING_PATH?",
                "environment variable \"FERRY_TARGETS_WEB\" overrides no key of the configuration and is ignored",
            ]
        )
    }

    @Test func wrongVariableIsNamed() {
        #expect(
            problems(target, ["FERRY_STAGING_FSYNC": "maybe"]) == [
                "environment variable FERRY_STAGING_FSYNC: staging.fsync: expected true or false, found the text \"maybe\""
            ]
        )
    }

    @Test func passwordInTheFileIsWarnedOf() throws {
        let configuration = try FerryConfiguration.parse(yaml: "amqp: { url: 'amqp://u:pw@h/v' }\n" + target)
        #expect(configuration.warnings == ["amqp.url holds a password; give it in amqp.password_file instead"])
        #expect(try configuration.amqp.password() == Secret("pw"))
    }

    @Test func everyProblemIsToldAtOnceInOrder() {
        let yaml = """
            listen: 8080
            staging:
              path: relative
              fsync: yes
              max_bytes: lots
              pth: /x
            stagin: {}
            retry: { base: 10s, max: 1s }
            targets:
              web:
                host: -oProxyCommand=x
                port: 0
                key_file: /k
                password_file: /p
                host_keys: [SHA256:short]
              Web: {}
              db: 5
            """
        #expect(
            problems(yaml).map { String($0.prefix { $0 != "," && $0 != ";" }) } == [
                "ferry.yaml:1: listen: expected host:port such as 127.0.0.1:8080 or [::1]:8080",
                "ferry.yaml:3: staging.path: expected an absolute path without '.' and '..' components",
                "ferry.yaml:4: staging.fsync: expected true or false",
                "ferry.yaml:5: staging.max_bytes: expected a size such as 512",
                "ferry.yaml:6: staging.pth: unknown key",
                "ferry.yaml:7: stagin: unknown key",
                "ferry.yaml:8: retry.max: expected at least retry.base",
                "ferry.yaml:10: targets.web.user: required key is missing",
                "ferry.yaml:10: targets.web.root: required key is missing",
                "ferry.yaml:11: targets.web.host: expected a host name or an IP address",
                "ferry.yaml:12: targets.web.port: expected an integer from 1 to 65535",
                "ferry.yaml:14: targets.web.password_file: expected either key_file or password_file",
                "ferry.yaml:15: targets.web.host_keys: expected a fingerprint SHA256: and 43 characters of base64",
                "ferry.yaml:16: targets.Web: expected a target id of 1 to 63 characters a-z",
                "ferry.yaml:17: targets.db: expected a mapping of keys to values",
                "ferry.yaml:17: targets.db.host: required key is missing",
                "ferry.yaml:17: targets.db.user: required key is missing",
                "ferry.yaml:17: targets.db.key_file: required key is missing",
                "ferry.yaml:17: targets.db.host_keys: required key is missing",
                "ferry.yaml:17: targets.db.root: required key is missing",
            ]
        )
    }

    @Test func unknownKeyIsExplained() {
        #expect(
            problems("staging: { pth: /x }\n" + target) == [
                "ferry.yaml:1: staging.pth: unknown key; did you mean path? expected one of fsync, max_bytes, path"
            ]
        )
    }

    @Test(arguments: [
        "auth: { mode: none }\nlisten: 0.0.0.0:80\n", "listen: \"[::]:80\"\nauth:\n  mode: none\n",
        "listen: ferry.example:80\nauth: { mode: none }\n",
    ])
    func openAccessIsRefusedBeyondLoopback(yaml: String) {
        let found = problems(yaml + target)
        #expect(found.count == 1)
        #expect(found.first?.contains("auth.mode: expected tokens, since listen is") == true)
        #expect(problems("auth: { mode: none }\n" + target) == [])
        #expect(problems("auth: { mode: none }\n" + target, ["FERRY_LISTEN": "0.0.0.0:80"]).count == 1)
    }

    @Test func nothingIsMissingTargets() {
        let message = "required key is missing; expected a mapping of target ids to targets"
        #expect(problems("") == ["ferry.yaml: targets: \(message)"])
        #expect(problems("# nothing\n") == ["ferry.yaml: targets: \(message)"])
        #expect(problems("targets: {}\n") == ["ferry.yaml:1: targets: \(message)"])
        #expect(problems("targets:\n") == ["ferry.yaml:1: targets: \(message)"])
        #expect(
            problems("targets: []\n") == ["ferry.yaml:1: targets: expected a mapping of keys to values, found a list"]
        )
        #expect(
            problems("- a\n")
                == [
                    "ferry.yaml:1: expected a mapping of keys to values, found a list",
                    "ferry.yaml: targets: \(message)",
                ].sorted()
        )
    }

    @Test(arguments: ["certificate_file", "key_file"])
    func tlsNeedsBothFiles(file: String) {
        let found = problems("http: { tls: { \(file): /f } }\n" + target)
        let other = file == "key_file" ? "certificate_file" : "key_file"
        #expect(
            found == [
                "ferry.yaml:1: http.tls.\(other): required key is missing; expected both certificate_file and key_file"
            ]
        )
        #expect(problems("http: { tls: {} }\n" + target).count == 1)
        #expect(problems("http: { tls: true }\n" + target).count == 1)
    }
}
