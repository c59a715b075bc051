// The one table from what the use cases refuse to what a client is told.

import Core

extension Problem {
    init(_ error: IntakeError) {
        switch error {
        case .invalid(let field, let reason):
            self = .invalid(field, reason)
        case .targetUnknown(let target):
            self.init(.targetUnknown, "no such target is configured", fields: ["target": .text(target)])
        case .ownerRevoked(let owner):
            self.init(
                .ownerRevoked,
                "no valid token lets this upload's owner send files",
                fields: ["owner": .text(owner.description)]
            )
        case .targetExists(let path):
            self.init(
                .targetExists,
                "a file is at this path; send overwrite: replace to replace it",
                fields: ["path": .text(path.description)]
            )
        case .differentContent(let id):
            self.init(
                .differentContent,
                "your unfinished upload at this path, or what it said before, is of other content",
                fields: ["upload": .text(id.description)]
            )
        case .uploadInProgress(let retryAfter):
            self.init(.uploadInProgress, "an unfinished upload holds this path", retryAfter: retryAfter)
        case .tooLarge(let limit):
            self.init(.tooLarge, "at most \(limit) bytes are accepted", fields: ["limit": .number(limit)])
        case .notFound:
            self.init(.notFound, "there is no such upload for this token")
        case .gone(let state):
            self.init(.uploadEnded, "the upload is \(state.rawValue)", fields: ["state": .text(state.rawValue)])
        case .partOutOfRange(_, let count):
            self.init(
                .partOutOfRange,
                count > 0 ? "parts are numbered 1 to \(count)" : "the file is empty and has no parts",
                fields: ["parts": .number(count)]
            )
        case .wrongPartSize(let expected, let received):
            self.init(
                .wrongPartSize,
                expected.count == 1
                    ? "the part has \(expected.lowerBound) bytes, not \(received)"
                    : "the part has \(expected.lowerBound) to \(expected.upperBound) bytes, not \(received)",
                fields: [
                    "minimum": .number(expected.lowerBound), "maximum": .number(expected.upperBound),
                    "received": .number(received),
                ]
            )
        case .digestMismatch(let declared, let received):
            self.init(
                .digestMismatch,
                "the body's SHA-256 is not the declared one",
                fields: ["declared": .text(declared.hex), "received": .text(received.hex)]
            )
        case .partAfterLast(_, let last):
            self.init(
                .partOutOfRange,
                "part \(last) is shorter than the part size, so that it is the last; if it is not, cancel the upload "
                    + "and create it again",
                fields: ["parts": .number(last)]
            )
        case .partTooShort(let number):
            self.init(
                .partConflict,
                "part \(number) is shorter than the part size and is not the last; what was acknowledged stays as it "
                    + "is: cancel the upload and create it again",
                fields: ["part": .number(number)]
            )
        case .partConflict(let number):
            self.init(.partConflict, "part \(number) has other bytes already", fields: ["part": .number(number)])
        case .partsMissing(let numbers):
            self.init(
                .partsMissing,
                "not every part was received",
                fields: ["missing": .text(numbers.description)]
            )
        case .committing:
            self.init(.committing, "the file is being given its final name")
        case .wrongState(let state):
            self.init(.wrongState, "the upload is \(state.rawValue)", fields: ["state": .text(state.rawValue)])
        case .stagingFull(let retryAfter):
            self.init(.stagingFull, "there is no room for these bytes now", retryAfter: retryAfter)
        case .unavailable(let reason, let retryAfter):
            self.init(.unavailable, "nothing that was accepted is lost; try again", retryAfter: retryAfter)
            logged = reason
        case .internal(let reason):
            self.init(.internalError, "the log has more under this request's id")
            logged = reason
        }
    }
}
