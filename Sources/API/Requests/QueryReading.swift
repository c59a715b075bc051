// Parameters of a query, read strictly: what cannot be read is a problem that names the parameter.

import Core
import HummingbirdCore

extension FlatDictionary<Substring, Substring> {
    /// A parameter's value; nil where it is not given.
    func read<Meaning>(_ name: Substring, _ problem: String, _ read: (Substring) -> Meaning?) throws(Problem)
        -> Meaning?
    {
        guard let text = self[name] else { return nil }
        guard let value = read(text) else { throw .invalid(String(name), problem) }
        return value
    }

    /// How many a page may have: 1 to 1,000.
    func limit() throws(Problem) -> Int? {
        try read("limit", "must be 1 to 1000") { Int($0).flatMap { (1...1_000).contains($0) ? $0 : nil } }
    }

    /// Only what goes to this target; one that is not configured is a misspelt one, not one without uploads.
    func target(among targets: [TargetID]) throws(Problem) -> TargetID? {
        guard let target = try read("target", "is no target's name", { TargetID($0) }) else { return nil }
        guard targets.contains(target) else { throw Problem(IntakeError.targetUnknown(target.description)) }
        return target
    }

    /// Where a page begins.
    func cursor() throws(Problem) -> UploadCursor? { try read("cursor", "is not one of a page's") { UploadCursor($0) } }
}
