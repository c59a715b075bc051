// The way from any task to a connection's thread.

internal import CRabbitMQ
internal import Glibc
internal import Synchronization

/// Commands for a thread that sleeps in `poll`, with a descriptor that wakes it.
///
/// Only the first command after the thread emptied the box writes to the descriptor, so a burst costs one wake-up.
final class Mailbox<Command: Sendable>: Sendable {
    private struct State {
        var commands: [Command] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    /// Readable while commands wait.
    let descriptor: Int32

    init() {
        // Without a descriptor `poll` ignores the entry (-1) and commands wait for the next tick of the loop.
        descriptor = amqp_shim_wakeup_open()
    }

    deinit {
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
    }

    /// Adds a command; false when nobody will read it any more.
    @discardableResult
    func post(_ command: Command) -> Bool {
        let (accepted, wakes) = state.withLock { state in
            guard !state.isClosed else { return (false, false) }
            state.commands.append(command)
            return (true, state.commands.count == 1)
        }
        if wakes { amqp_shim_wakeup_raise(descriptor) }
        return accepted
    }

    /// Takes all commands.
    func take() -> [Command] {
        amqp_shim_wakeup_clear(descriptor)
        return state.withLock { state in
            guard !state.commands.isEmpty else { return [] }
            let commands = state.commands
            state.commands = []
            return commands
        }
    }

    /// Takes no more, and returns what is left.
    func close() -> [Command] {
        state.withLock { state in
            state.isClosed = true
            defer { state.commands = [] }
            return state.commands
        }
    }
}

/// Sleeping on a mailbox's descriptor alone.
enum WakeUp {
    static func wait(_ descriptor: Int32, until end: Moment) {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        poll(&entry, 1, end.millisecondsFromNow)
    }
}
