// What a run is told by its environment.

/// SEED, UPLOADS and FAULTS.
struct Settings: Sendable {
    /// Uploads of each fault where nothing else is asked for.
    static let usualUploads = 24

    /// Decides sizes, order and timing.
    var seed: UInt64
    /// Uploads of each fault.
    var uploads: Int
    /// Names of faults; none for all.
    var faults: [String]

    init(environment: [String: String]) throws(SettingsError) {
        switch environment["SEED"] ?? "" {
        case "": seed = UInt64.random(in: 1...999_999)
        case let text:
            guard let number = UInt64(text) else { throw SettingsError(variable: "SEED", value: text) }
            seed = number
        }
        switch environment["UPLOADS"] ?? "" {
        case "": uploads = Self.usualUploads
        case let text:
            guard let number = Int(text), (1...10_000).contains(number) else {
                throw SettingsError(variable: "UPLOADS", value: text)
            }
            uploads = number
        }
        faults = (environment["FAULTS"] ?? "").split { $0 == "," || $0 == " " }.map(String.init)
    }
}

/// A variable whose value cannot be used.
struct SettingsError: Error, CustomStringConvertible {
    let variable: String
    let value: String

    var description: String { "\(variable): \(value) is no usable number" }
}
