// The judge: from what clients were answered and what lies on the targets to what was lost.

/// What was found at an upload's path.
enum Found: Sendable, Hashable {
    case nothing
    /// A file with this SHA-256.
    case file(String)
}

/// What an upload's case comes to.
enum Verdict: Sendable, Hashable {
    /// As promised.
    case kept
    /// Acknowledged, and neither there nor on its way.
    case lost
    /// A file is there that nobody sent, or one that was cancelled.
    case corrupt
    /// Acknowledged, not there, and still said to be on its way.
    case stuck
}

/// Rules without memory; what decides is given to them.
enum Checker {
    /// States in which an upload says that it is on its way.
    static let active: Set<String> = ["receiving", "shipping", "merging", "committing"]

    /// Judges one upload.
    ///
    /// - Parameters:
    ///   - found: what lies at its path.
    ///   - state: what the interface says of it, where it was asked.
    static func judge(_ promise: Promise, found: Found, state: String?) -> Verdict {
        if promise.upload.isStrangers { return .kept }
        let isOurs = found == .file(promise.sha256)
        let isHarmless: Bool
        switch found {
        case .nothing: isHarmless = true
        case .file(let digest): isHarmless = promise.upload.tolerated.contains(digest)
        }
        guard isOurs || isHarmless else { return .corrupt }
        switch promise.cancel {
        case .accepted: return isHarmless ? .kept : .corrupt
        case .open: return .kept
        case .notAsked, .refused: break
        }
        guard promise.isAcknowledged, !isOurs else { return .kept }
        return state.map(active.contains) == true ? .stuck : .lost
    }

    /// Whether a key of the index may stay once everything has ended: history that expires, and what belongs to no
    /// upload.
    ///
    /// - Parameter lifetime: seconds until it goes by itself; negative for never.
    static func mayStay(key: String, lifetime: Int) -> Bool {
        for part in ["path:", "lease:", "outbox:", "dead", "active"] where key.hasPrefix("ferry:" + part) {
            return false
        }
        if key.hasPrefix("ferry:u:") {
            // The record itself and what happened to it, but not its parts.
            let rest = key.dropFirst("ferry:u:".count)
            return lifetime >= 0 && (!rest.contains(":") || rest.hasSuffix(":history"))
        }
        if lifetime >= 0 { return true }
        return ["ferry:epoch", "ferry:uploads", "ferry:workers", "ferry:targets", "ferry:moved"].contains(key)
            || key.hasPrefix("ferry:owner:") || key.hasPrefix("ferry:sweeps:")
    }
}

/// Sums over faults.
struct Tally: Sendable, Hashable {
    var acknowledged = 0
    /// Parts that were answered with 200 or 201; an upload in one request is one.
    var parts = 0
    var lost = 0
    var corrupt = 0
    var stuck = 0
    var leftover = 0

    mutating func count(_ verdict: Verdict) {
        switch verdict {
        case .kept: break
        case .lost: lost += 1
        case .corrupt: corrupt += 1
        case .stuck: stuck += 1
        }
    }

    static func += (sum: inout Self, other: Self) {
        sum.acknowledged += other.acknowledged
        sum.parts += other.parts
        sum.lost += other.lost
        sum.corrupt += other.corrupt
        sum.stuck += other.stuck
        sum.leftover += other.leftover
    }

    var isClean: Bool { lost == 0 && corrupt == 0 && stuck == 0 && leftover == 0 }

    /// The last line of a run.
    var line: String { "lost \(lost) of \(acknowledged), corrupt \(corrupt), stuck \(stuck), leftover \(leftover)" }
}
