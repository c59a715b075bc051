// Which directories on a target were looked at lately, so that not every small file asks again.

internal import Synchronization

/// Where directories led when they were last checked. Whoever relies on it has the server resolve the directory again, in
/// the same breath, and holds the answer against this.
final class KnownDirectories: Sendable {
    private struct Home {
        let path: String
        let until: ContinuousClock.Instant
    }

    /// How long a check counts, and of how many directories.
    private static let (lifetime, bound) = (Duration.seconds(60), 1_024)

    private let homes = Mutex<[String: Home]>([:])

    /// Where a directory led; nil where nobody has looked lately.
    func home(of directory: String) -> String? {
        homes.withLock { homes in
            guard let home = homes[directory] else { return nil }
            guard home.until > .now else {
                homes[directory] = nil
                return nil
            }
            return home.path
        }
    }

    /// Keeps where a directory leads.
    func note(_ directory: String, leadsTo path: String) {
        homes.withLock { homes in
            if homes.count >= Self.bound { homes.removeAll() }
            homes[directory] = Home(path: path, until: .now + Self.lifetime)
        }
    }

    /// Has a directory looked at again.
    func forget(_ directory: String) { homes.withLock { $0[directory] = nil } }
}
