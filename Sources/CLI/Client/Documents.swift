// What the API answers, as far as the command line reads it. The HTTP contract is the source; unknown fields are ignored.

internal import Foundation

/// An upload.
struct UploadView: Codable, Equatable {
    struct Failure: Codable, Equatable {
        var reason: String
        var detail: String
    }

    var id: String
    var owner: String
    var target: String
    var path: String
    var state: String
    var size: Int64?
    var partSize: Int64
    var digest: [String: String]?
    var receivedBytes: Int64
    var shippedBytes: Int64
    var receivedParts: String?
    var shippedParts: String?
    var merge: String?
    var verification: String?
    var mode: String?
    var modifiedAt: String?
    var attempts: Int
    var error: Failure?
    var createdAt: String
    var updatedAt: String

    /// Nothing more happens by itself.
    var isSettled: Bool { isEnded || state == "failed" }
    /// Nothing more happens.
    var isEnded: Bool { ["done", "cancelled", "expired"].contains(state) }
}

/// A page of uploads.
struct UploadPageView: Codable {
    var uploads: [UploadView]
    var next: String?
}

/// An event, or a snapshot in the same form.
struct EventView: Codable, Equatable {
    var type: String
    var upload: String
    var target: String
    var path: String
    var state: String
    var size: Int64?
    var receivedBytes: Int64
    var shippedBytes: Int64
    var error: UploadView.Failure?
    var at: String
}

/// The targets.
struct TargetsView: Codable {
    struct Target: Codable {
        var id: String
        var reachable: Bool?
        var breaker: String?
        /// Sessions of all workers together; only the server knows of them.
        var sessions: Int?
        var facts: [String: String]
        var error: String?
        var seenAt: String?
    }

    var targets: [Target]
}

/// A problem (RFC 9457).
struct ProblemView: Codable, Error {
    var type: String
    var title: String
    var status: Int
    var detail: String?

    /// The last component of the type.
    var name: String { type.split(separator: "/").last.map(String.init) ?? type }
}

/// Part numbers as the contract prints them (`"1-40,42"`).
enum PartRanges {
    /// Reads the form; what cannot be read is nil.
    static func numbers(_ text: String) -> Set<Int64>? {
        var numbers: Set<Int64> = []
        for range in text.split(separator: ",") {
            let ends = range.split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first <= last,
                first > 0, last <= 50_000
            else { return nil }
            numbers.formUnion(first...last)
        }
        return numbers
    }
}
