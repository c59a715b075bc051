// From configuration to adapters: what the programs' compositions have in common.

public import AMQP
public import Adapters
public import Core
public import Logging
public import Redis
public import SFTP
public import Service

extension FerryConfiguration {
    /// Staging, index and broker.
    ///
    /// - Parameters:
    ///   - name: this process's name among all.
    ///   - indexPatience: how long a question to the index waits for a connection; as long as for the answer where it
    ///     is not given.
    public func backend(name: String, indexPatience: Duration? = nil) throws -> Backend.Options {
        var options = DiskStaging.Options()
        options.fsync = staging.fsync
        options.maximumBytes = staging.maxBytes
        var index = try index(name: name)
        index.connectionPatience = indexPatience
        return Backend.Options(
            stagingPath: staging.path,
            staging: options,
            redis: index,
            amqp: try broker(name: name),
            targets: targetIDs,
            name: name
        )
    }

    /// How to reach the index.
    public func index(name: String) throws -> RedisConfiguration {
        var configuration = try RedisConfiguration(url: redis.url.value, password: try redis.password()?.value)
        configuration.clientName = name
        return configuration
    }

    /// How to reach the broker.
    public func broker(name: String) throws -> AMQPConfiguration {
        var configuration = try AMQPConfiguration(url: amqp.url.value, password: try amqp.password()?.value)
        configuration.connectionName = name
        return configuration
    }

    /// The limits of retrying.
    public var retryPolicy: RetryPolicy {
        RetryPolicy(
            base: retry.base,
            maximum: retry.max,
            attempts: retry.attempts,
            diskFullAttempts: retry.diskFullAttempts
        )
    }

    /// The limits on uploads.
    public var uploadLimits: UploadLimits {
        UploadLimits(
            partSize: uploads.partSize,
            maximumSize: uploads.maxSize,
            expireAfter: uploads.expireAfter
        )
    }

    /// The names of all targets, in the configuration's order.
    public var targetIDs: [TargetID] { targets.compactMap { TargetID($0.id) } }
}

extension TargetConfiguration {
    /// How to reach the target's account.
    public var ssh: SSHConfiguration {
        let credential: SSHCredential =
            switch credential {
            case .keyFile(let path): .key(file: path)
            case .passwordFile(let path): .passwordFile(path: path)
            }
        var ssh = SSHConfiguration(host: host, port: port, user: user, credentials: credential, hostKeys: hostKeys)
        ssh.transport = transport == .openssh ? .openSSH : .libssh2
        ssh.certificateFile = certificateFile
        if let jump {
            ssh.jumps = [
                SSHJump(
                    host: jump.host,
                    port: jump.port,
                    user: jump.user,
                    credentials: .key(file: jump.keyFile),
                    hostKeys: jump.hostKeys
                )
            ]
        }
        return ssh
    }
}

extension SFTPTarget {
    /// A configured target; nothing is connected yet.
    ///
    /// - Parameters:
    ///   - process: the name that this process will have in its next life too; nil where it has none.
    ///   - gate: what all processes may do together; nil for a process that is alone.
    public convenience init(
        _ target: TargetConfiguration,
        process: String? = nil,
        gate: (any ConnectionGate)? = nil,
        logger: Logger
    ) {
        let verify: SFTPTargetOptions.Verify =
            switch target.verify {
            case .auto: .auto
            case .digest: .digest
            case .size: .size
            case .readback: .readback
            }
        let merge: MergeStrategy? =
            switch target.merge {
            case .auto: nil
            case .inPlace: .inPlace
            case .copy: .copy
            case .script: .script
            case .relay: .relay
            case .stream: .stream
            }
        var options = SFTPTargetOptions(
            root: target.root,
            flushes: target.durability == .fsync,
            verify: verify,
            merge: merge
        )
        options.mode = target.fileMode.flatMap(FileMode.init(bits:))
        options.owner = target.fileOwner
        options.group = target.fileGroup
        if let process { options.probe = Self.probe(of: "\(process) \(target.id)") }
        self.init(
            target.ssh,
            options: options,
            sessions: target.sessions,
            gate: gate,
            logger: logger
        )
    }

    /// A process's name as one that a file may have.
    private static func probe(of process: String) -> String {
        process.utf8.reduce(into: "") { text, byte in
            text += String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }.suffix(180).description
    }
}
