// What an error of Redis means for those who use the index.

internal import Core
internal import Redis

extension StoreError {
    init(_ error: RedisError) {
        guard case .server(let reply, _) = error else {
            self = .unavailable(error.description)
            return
        }
        switch reply.code {
        case "OOM", "BACKLOG": self = .full
        case "REBUILDING": self = .rebuilding
        // A script met what it could not work with; asking again does not help.
        case "ERR", "WRONGTYPE": self = .unreadable(error.description)
        // LOADING, BUSY, READONLY, MISCONF, NOAUTH, …: it passes, or an operator must act.
        default: self = .unavailable(error.description)
        }
    }
}
