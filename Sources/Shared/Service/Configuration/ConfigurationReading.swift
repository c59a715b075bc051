// ConfigurationReading: which key of the file becomes which value, within which bounds.

extension FerryConfiguration {
    /// Reads all sections; `nil` where a default that cannot fail did (never, and then reported).
    static func read(from root: YAMLSection) -> Self? {
        guard let redis = readServer("redis", standard: "redis://127.0.0.1:6379/0", redisKind, from: root),
            let amqp = readServer("amqp", standard: "amqp://ferry@127.0.0.1:5672/ferry", amqpKind, from: root)
        else { return nil }
        var configuration = Self(redis: redis, amqp: amqp, targets: [])
        let listen = ValueKind<ListenConfiguration>(
            expectation: "host:port such as 127.0.0.1:8080 or [::1]:8080"
        ) { ListenConfiguration($0.text) }
        configuration.listen = root.value("listen", listen, default: ListenConfiguration())
        configuration.readStaging(from: root.section("staging"))
        configuration.readHTTP(from: root.section("http"))
        configuration.readRetry(from: root.section("retry"))
        configuration.readAuth(from: root.section("auth"))
        configuration.readUploads(from: root.section("uploads"))
        configuration.readWorker(from: root.section("worker"))
        configuration.readTargets(from: root)
        configuration.warnAboutSecrets(in: root)
        root.close()
        return configuration
    }

    private static func readServer(
        _ key: String,
        standard: String,
        _ kind: ValueKind<ServerURL>,
        from root: YAMLSection
    ) -> ServerConfiguration? {
        guard let standard = ServerURL(standard) else { return nil }
        let section = root.section(key)
        defer { section.close() }
        return ServerConfiguration(
            url: section.value("url", kind, default: standard),
            passwordFile: section.optional("password_file", .absolutePath)
        )
    }

    private mutating func readStaging(from section: YAMLSection) {
        staging.path = section.value("path", .absolutePath, default: staging.path)
        staging.fsync = section.value("fsync", .boolean, default: staging.fsync)
        staging.maxBytes = section.value("max_bytes", .size((1 << 20)...Int64.max), default: staging.maxBytes)
        section.close()
    }

    private mutating func readHTTP(from section: YAMLSection) {
        let files = section.section("tls")
        let certificate = files.optional("certificate_file", .absolutePath)
        let key = files.optional("key_file", .absolutePath)
        files.close()
        switch (certificate, key) {
        case (let certificate?, let key?): http.tls = .init(certificateFile: certificate, keyFile: key)
        case (nil, nil):
            // A section that names neither is no way to ask for plain HTTP: that is `tls: null`.
            if section.has("tls"), files.keys.isEmpty, !files.isRefused {
                section.report("tls", "expected null, or a mapping with certificate_file and key_file")
            }
        case (_?, nil): reportMissingFile("key_file", in: files)
        case (nil, _?): reportMissingFile("certificate_file", in: files)
        }
        http.maxConnections = section.value("max_connections", .integer(1...1_000_000), default: http.maxConnections)
        http.idleTimeout = section.value(
            "idle_timeout",
            .duration(.seconds(1)...(.seconds(86_400))),
            default: http.idleTimeout
        )
        http.minRate = section.value("min_rate", .size(0...(1 << 30)), default: http.minRate)
        let origin = ValueKind.text("an origin such as https://intranet.example, as browsers write it") { text in
            guard let scheme = ["https://", "http://"].first(where: text.hasPrefix) else { return false }
            let host = text.utf8.dropFirst(scheme.utf8.count)
            let isMeant = host.allSatisfy { isAlphanumeric($0) && !(65...90).contains($0) || ".-:[]".utf8.contains($0) }
            return !host.isEmpty && host.count <= 260 && isMeant
        }
        http.allowedOrigins = section.list("allowed_origins", origin, count: 0...100) ?? http.allowedOrigins
        section.close()
    }

    private func reportMissingFile(_ key: String, in section: YAMLSection) {
        guard !section.has(key) else { return }
        section.report(key, "required key is missing; expected both certificate_file and key_file")
    }

    private mutating func readRetry(from section: YAMLSection) {
        let delays: ClosedRange<Duration> = .milliseconds(1)...(.seconds(86_400))
        retry.base = section.value("base", .duration(delays), default: retry.base)
        retry.max = section.value("max", .duration(delays), default: retry.max)
        if retry.max < retry.base {
            let bounds = "\(TimeSpan.format(retry.base)), found \(TimeSpan.format(retry.max))"
            section.report("max", "expected at least retry.base, which is \(bounds)")
        }
        retry.attempts = section.value("attempts", .integer(1...1_000), default: retry.attempts)
        retry.diskFullAttempts = section.value(
            "disk_full_attempts",
            .integer(1...1_000),
            default: retry.diskFullAttempts
        )
        section.close()
    }

    private mutating func readAuth(from section: YAMLSection) {
        auth.mode = section.value("mode", .choice, default: auth.mode)
        auth.tokensFile = section.value("tokens_file", .absolutePath, default: auth.tokensFile)
        if auth.mode == .none, !listen.isLoopback {
            let message = "expected tokens, since listen is \(listen); none is allowed on a loopback address only"
            section.report("mode", message)
        }
        section.close()
    }

    private mutating func readUploads(from section: YAMLSection) {
        uploads.partSize = section.value(
            "part_size",
            .size(UploadsConfiguration.partSizes),
            default: uploads.partSize
        )
        uploads.maxSize = section.value("max_size", .size(1...(48 << 40)), default: uploads.maxSize)
        uploads.expireAfter = section.value(
            "expire_after",
            .duration(.seconds(1)...(.seconds(3_650 * 86_400))),
            default: uploads.expireAfter
        )
        section.close()
    }

    private mutating func readWorker(from section: YAMLSection) {
        worker.roles = section.list("roles", .choice, count: 1...2) ?? worker.roles
        let glob = ValueKind<Glob>(expectation: "a target id, in which * and ? stand for others") { scalar in
            let isPattern = scalar.kind != .boolean && !scalar.text.isEmpty && scalar.text.utf8.count <= 255
            let isMeant = scalar.text.utf8.allSatisfy { isAlphanumeric($0) || "._-*?".utf8.contains($0) }
            return isPattern && isMeant ? Glob(scalar.text) : nil
        }
        worker.targets = section.list("targets", glob, count: 1...1_000) ?? worker.targets
        worker.drain = section.value("drain", .duration(.zero...(.seconds(86_400))), default: worker.drain)
        section.close()
    }

    private mutating func readTargets(from root: YAMLSection) {
        let section = root.section("targets", overridable: false)
        if section.keys.isEmpty, !section.isRefused {
            root.report("targets", "required key is missing; expected a mapping of target ids to targets")
        }
        for id in section.keys {
            let target = section.section(id, overridable: false)
            guard TargetConfiguration.isValid(id: id) else {
                section.report(id, "expected \(TargetConfiguration.idExpectation)")
                continue
            }
            if let target = TargetConfiguration.read(id, from: target) { targets.append(target) }
        }
    }

    private mutating func warnAboutSecrets(in root: YAMLSection) {
        for (name, server) in [("redis", redis), ("amqp", amqp)] where server.url.password != nil {
            // In the environment a password is where others go too.
            guard root.reader.variable("FERRY_\(name.uppercased())_URL") == nil else { continue }
            let precedence = server.passwordFile == nil ? "" : ", which takes precedence"
            warnings.append("\(name).url holds a password; give it in \(name).password_file instead\(precedence)")
        }
        if !staging.fsync {
            warnings.append("staging.fsync is false: acknowledged parts may not survive a power failure")
        }
    }
}
