// The port to short locks: they save work, they never guard correctness.

/// Named leases that end by themselves. They work while the index is being rebuilt, too: the rebuild holds one.
public protocol LeaseStore: Sendable {
    /// Takes or extends a lease; false while somebody else holds it.
    func acquire(_ name: String, holder: String, for duration: Duration) async throws(StoreError) -> Bool
    /// Gives a lease up, if it still is the holder's.
    func release(_ name: String, holder: String) async throws(StoreError)
}
