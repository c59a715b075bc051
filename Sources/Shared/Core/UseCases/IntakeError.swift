// Why a client's request was not done: one case a stable problem type of the HTTP contract.

/// Why a client's request was not done. Nothing of one owner is told to another.
public enum IntakeError: Error, Hashable, Sendable {
    /// A field of the request cannot be accepted; which, and why.
    case invalid(field: String, reason: String)
    /// No target of this name is configured.
    case targetUnknown(String)
    /// A file is at the path, and the request does not replace it.
    case targetExists(TargetPath)
    /// An own unfinished upload of other content holds the path, or the digest contradicts an earlier one.
    case differentContent(UploadID)
    /// The owner may not send files any more.
    case ownerRevoked(Owner)
    /// Somebody else's upload holds the path.
    case uploadInProgress(retryAfter: Duration)
    /// The file is larger than is allowed, in bytes.
    case tooLarge(limit: Int64)
    /// There is no such upload for this principal.
    case notFound
    /// The upload has ended.
    case gone(UploadState)
    /// The part's number is outside the upload.
    case partOutOfRange(number: Int64, count: Int64)
    /// The part has another size than it must have, in bytes.
    case wrongPartSize(expected: ClosedRange<Int64>, received: Int64)
    /// The bytes do not have the digest that the request declares.
    case digestMismatch(declared: SHA256Digest, received: SHA256Digest)
    /// The part comes after one that is shorter than the others, which can only be the last.
    case partAfterLast(number: Int64, last: Int64)
    /// A part that is shorter than the others is not the last: the parts can never be a whole file.
    case partTooShort(number: Int64)
    /// The offset holds other content.
    case partConflict(number: Int64)
    /// Not all parts are there.
    case partsMissing(PartNumbers)
    /// It is too late to cancel.
    case committing
    /// Something else of the state forbids it.
    case wrongState(UploadState)
    /// Staging has no room.
    case stagingFull(retryAfter: Duration)
    /// The index or staging cannot be used now; nothing that was staged is lost.
    case unavailable(String, retryAfter: Duration)
    /// A fault in Ferry or in its disk.
    case `internal`(String)

    init(_ error: StoreError) {
        self =
            switch error {
            case .unavailable, .rebuilding: .unavailable(error.description, retryAfter: .seconds(2))
            case .full: .unavailable(error.description, retryAfter: .seconds(10))
            case .unreadable: .internal(error.description)
            }
    }

    init(_ error: StagingError) {
        self =
            switch error {
            case .full: .stagingFull(retryAfter: .seconds(30))
            case .notFound: .notFound
            case .wrongLength(let expected, let received):
                .wrongPartSize(expected: expected...expected, received: received)
            case .unreadable: .internal(error.description)
            // No descriptor, no memory, a flush that failed: it may pass, and nothing was promised.
            case .failed: .unavailable(error.description, retryAfter: .seconds(5))
            }
    }
}

extension IntakeError: CustomStringConvertible {
    /// In an operator's words.
    public var description: String {
        switch self {
        case .invalid(let field, let reason): "\(field): \(reason)"
        case .targetUnknown(let target): "no target \(target) is configured"
        case .targetExists(let path): "a file is at \(path)"
        case .differentContent(let id): "upload \(id) is of other content"
        case .ownerRevoked(let owner): "\(owner) may not send files any more"
        case .uploadInProgress: "another upload holds the path"
        case .tooLarge(let limit): "at most \(limit) bytes are accepted"
        case .notFound: "there is no such upload"
        case .gone(let state), .wrongState(let state): "the upload is \(state.rawValue)"
        case .partOutOfRange(let number, let count): "part \(number) is out of range: there are \(count)"
        case .partAfterLast(let number, let last): "part \(number) comes after part \(last), which is the last"
        case .partTooShort(let number): "part \(number) is shorter than the part size and is not the last"
        case .wrongPartSize(let expected, let received):
            "a part of \(expected.lowerBound) to \(expected.upperBound) bytes has \(received)"
        case .digestMismatch(let declared, let received): "the bytes have the SHA-256 \(received), not \(declared)"
        case .partConflict(let number): "part \(number) has other bytes already"
        case .partsMissing(let numbers): "parts \(numbers) are missing"
        case .committing: "the file is being given its final name"
        case .stagingFull: "staging has no room"
        case .unavailable(let reason, _), .internal(let reason): reason
        }
    }
}

/// Runs a question to the index in the client's terms.
func asking<Answer>(
    _ body: () async throws(StoreError) -> Answer
) async throws(IntakeError) -> Answer {
    do { return try await body() } catch { throw IntakeError(error) }
}

/// Runs work on staging in the client's terms.
func staged<Answer>(
    _ body: () async throws(StagingError) -> Answer
) async throws(IntakeError) -> Answer {
    do { return try await body() } catch { throw IntakeError(error) }
}
