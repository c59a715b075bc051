// ProblemType: the stable names of everything that can be wrong with a request (RFC 9457 §3.1.1).

import HTTPTypes

/// What kind of problem a request ran into. Each name is part of the contract, with one status and one title.
enum ProblemType: String, CaseIterable, Sendable {
    case malformedRequest = "malformed-request"
    case headerTooLarge = "header-too-large"
    case invalidJSON = "invalid-json"
    case invalidForm = "invalid-form"
    case invalidDigest = "invalid-digest"
    case bodyIncomplete = "body-incomplete"
    case digestMismatch = "digest-mismatch"
    case wrongPartSize = "wrong-part-size"
    case partOutOfRange = "part-out-of-range"
    case unauthorized
    case forbidden
    case notFound = "not-found"
    case routeUnknown = "route-unknown"
    case methodNotAllowed = "method-not-allowed"
    case requestTimeout = "request-timeout"
    case targetExists = "target-exists"
    case differentContent = "different-content"
    case partConflict = "part-conflict"
    case partsMissing = "parts-missing"
    case committing
    case wrongState = "wrong-state"
    case uploadEnded = "upload-ended"
    case lengthRequired = "length-required"
    case tooLarge = "too-large"
    case unsupportedEncoding = "unsupported-encoding"
    case unsupportedMediaType = "unsupported-media-type"
    case invalidRequest = "invalid-request"
    case targetUnknown = "target-unknown"
    case ownerRevoked = "owner-revoked"
    case uploadInProgress = "upload-in-progress"
    case internalError = "internal-error"
    case unavailable
    case stagingFull = "staging-full"

    /// The status that every problem of this type has.
    var status: HTTPResponse.Status {
        switch self {
        case .malformedRequest, .invalidJSON, .invalidForm, .invalidDigest, .bodyIncomplete, .digestMismatch,
            .wrongPartSize, .partOutOfRange:
            .badRequest
        case .unauthorized: .unauthorized
        case .forbidden: .forbidden
        case .notFound, .routeUnknown: .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .requestTimeout: .requestTimeout
        case .targetExists, .differentContent, .partConflict, .partsMissing, .committing, .wrongState,
            .ownerRevoked:
            .conflict
        case .uploadEnded: .gone
        case .lengthRequired: .lengthRequired
        case .tooLarge: .contentTooLarge
        case .unsupportedEncoding, .unsupportedMediaType: .unsupportedMediaType
        case .invalidRequest, .targetUnknown: .unprocessableContent
        case .uploadInProgress: .init(code: 423, reasonPhrase: "Locked")
        case .headerTooLarge: .requestHeaderFieldsTooLarge
        case .internalError: .internalServerError
        case .unavailable: .serviceUnavailable
        case .stagingFull: .init(code: 507, reasonPhrase: "Insufficient Storage")
        }
    }

    /// One phrase for a person, the same for every problem of this type.
    var title: String {
        switch self {
        case .malformedRequest: "The request is not valid HTTP"
        case .headerTooLarge: "The header is too large"
        case .invalidJSON: "The body is not valid JSON"
        case .invalidForm: "The form is malformed"
        case .invalidDigest: "The digest is malformed"
        case .bodyIncomplete: "The body did not come whole"
        case .digestMismatch: "The bytes do not have the declared digest"
        case .wrongPartSize: "The part has the wrong size"
        case .partOutOfRange: "The part number is out of range"
        case .unauthorized: "A valid token is needed"
        case .forbidden: "The role for this is missing"
        case .notFound: "There is no such upload"
        case .routeUnknown: "There is nothing at this path"
        case .methodNotAllowed: "The path does not support this method"
        case .requestTimeout: "The body came too slowly"
        case .targetExists: "The file exists on the target"
        case .differentContent: "An upload of other content is under way here"
        case .partConflict: "The part has other content already"
        case .partsMissing: "Parts are missing"
        case .committing: "It is too late to cancel"
        case .wrongState: "The upload's state does not allow this"
        case .uploadEnded: "The upload has ended"
        case .lengthRequired: "The body's length is missing"
        case .tooLarge: "It is too large"
        case .unsupportedEncoding: "The content encoding is not supported"
        case .unsupportedMediaType: "The media type is not supported"
        case .invalidRequest: "The request cannot be accepted"
        case .targetUnknown: "There is no such target"
        case .ownerRevoked: "The owner may not send files any more"
        case .uploadInProgress: "The path is taken by another upload"
        case .internalError: "Ferry failed"
        case .unavailable: "Ferry cannot do this now"
        case .stagingFull: "Staging is full"
        }
    }

    /// The value of `type` (RFC 9457 §3.1.1), a reference relative to the server.
    var reference: String { "/problems/\(rawValue)" }
}
