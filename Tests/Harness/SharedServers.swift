// One server of each kind for all tests of a process, started when first asked for.

import Glibc
import Synchronization

/// Servers that tests share because starting one takes time: use names of your own in them, stop or break only your own.
public enum SharedServers {
    /// The Redis of this test process.
    public static func redis() async throws -> RedisServer { try await servers.redis() }
    /// The RabbitMQ of this test process.
    public static func rabbitMQ() async throws -> RabbitMQServer { try await servers.rabbitMQ() }
    /// The sshd of this test process.
    public static func ssh() async throws -> SSHServer { try await servers.ssh() }
    /// The SFTP server of this kind of this test process.
    public static func sftp(_ kind: SFTPServerKind) async throws -> any SFTPServer { try await servers.sftp(kind) }

    private static let servers = Servers()

    private actor Servers {
        private var redisTask: Task<RedisServer, any Error>?
        private var rabbitMQTask: Task<RabbitMQServer, any Error>?
        private var sshTask: Task<SSHServer, any Error>?
        private var sftpTasks: [SFTPServerKind: Task<any SFTPServer, any Error>] = [:]

        func redis() async throws -> RedisServer {
            let task = redisTask ?? Task { Ending.owns(try await RedisServer.start()) }
            redisTask = task
            return try await task.value
        }

        func rabbitMQ() async throws -> RabbitMQServer {
            let task = rabbitMQTask ?? Task { Ending.owns(try await RabbitMQServer.start()) }
            rabbitMQTask = task
            return try await task.value
        }

        func ssh() async throws -> SSHServer {
            let task = sshTask ?? Task { Ending.owns(try await SSHServer.start()) }
            sshTask = task
            return try await task.value
        }

        func sftp(_ kind: SFTPServerKind) async throws -> any SFTPServer {
            let task = sftpTasks[kind] ?? Task { Ending.owns(try await kind.start()) }
            sftpTasks[kind] = task
            return try await task.value
        }
    }

    /// Ends the shared servers with the process: globals are never released.
    private enum Ending {
        private static let started = Mutex<[any PrivateServer]>([])
        private static let registered: Void = {
            atexit { Ending.stopAll() }
        }()

        static func owns<Server: PrivateServer>(_ server: Server) -> Server {
            _ = registered
            started.withLock { $0.append(server) }
            return server
        }

        static func stopAll() {
            for server in started.withLock({ $0 }) {
                server.process.end()
            }
        }
    }
}
