// What the SFTP client's errors mean for a target.

internal import Core
internal import SFTP

extension TargetError {
    /// The domain's word for an error of the SFTP client. What a status means beyond its code (a full disk, a taken
    /// name) depends on what was being done, and is found out there.
    init(_ error: SFTPError) {
        let kind: Kind =
            switch error {
            case .connectFailed, .breakerOpen, .noSeat: .unreachable
            case .noCommonAlgorithm: .noCommonAlgorithm
            case .hostKeyMismatch: .hostKeyMismatch
            case .authenticationFailed: .loginRefused
            case .disconnected, .timedOut, .closed: .interrupted
            case .protocolViolation: .protocolViolation
            case .cancelled: .cancelled
            case .unsupported, .execRefused: .unsupported
            case .invalidArgument: .pathRefused
            case .limitExceeded: .failed
            case .status(.noSuchFile, _, _, _): .notFound
            case .status(.permissionDenied, _, _, _): .permissionDenied
            case .status(.operationUnsupported, _, _, _): .unsupported
            case .status(.noSpaceOnFileSystem, _, _, _): .diskFull
            case .status(.quotaExceeded, _, _, _): .quotaExceeded
            // Version 3 has no code for it: whoever says more says it in words.
            case .status(.failure, let message, _, _) where message.lowercased().contains("quota"): .quotaExceeded
            case .status(.noConnection, _, _, _), .status(.connectionLost, _, _, _): .interrupted
            case .status: .failed
            }
        self.init(kind, error.description)
    }

    /// The same for whatever a closure on a session threw.
    init(any error: any Error) {
        switch error {
        case let error as TargetError: self = error
        case let error as SFTPError: self.init(error)
        case let error as StagingError: self.init(.staging, "reading staging: \(error)")
        case is CancellationError: self.init(.cancelled, "cancelled")
        default: self.init(.failed, "\(error)")
        }
    }
}
