// The port to short locks in memory: deterministic, with faults that can be planted.

public import Core

/// Short locks in memory.
public final class InMemoryLeaseStore: LeaseStore {
    /// The operations in which faults can be planted.
    public enum Operation: Hashable, Sendable, CaseIterable {
        /// The method of the same name.
        case acquire, release
    }

    /// What goes wrong.
    public let faults: PortFaults<Operation, StoreError>
    private let server: InMemoryIndexServer

    /// Leases on a server.
    public init(_ server: InMemoryIndexServer, faults: PortFaults<Operation, StoreError> = PortFaults()) {
        self.server = server
        self.faults = faults
    }

    /// Takes or extends a lease; false while somebody else holds it.
    public func acquire(_ name: String, holder: String, for duration: Duration) async throws(StoreError) -> Bool {
        try await faults.perform(.acquire) { () throws(StoreError) in
            try server.perform(as: nil) { index, now, _ in
                index.acquire(name, holder: holder, for: duration, now)
            }
        }
    }

    /// Gives a lease up, if it still is the holder's.
    public func release(_ name: String, holder: String) async throws(StoreError) {
        try await faults.perform(.release) { () throws(StoreError) in
            try server.perform(as: nil) { index, _, _ in index.release(name, holder: holder) }
        }
    }
}
