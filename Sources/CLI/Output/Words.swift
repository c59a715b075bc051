// What went wrong, in words: errors of libraries describe themselves as values of Swift.

internal import AsyncHTTPClient
internal import Foundation
internal import Glibc
internal import NIOCore
internal import NIOPosix

/// An error for a person.
func words(for error: any Error) -> String {
    switch error {
    case let failure as CommandFailure: failure.message
    case let error as HTTPClientError: words(for: error)
    case let error as NIOConnectionError: words(for: error)
    case let error as IOError: String(cString: strerror(error.errnoCode))
    case ChannelError.connectTimeout: "no connection in time"
    case is ChannelError: "the connection broke"
    case is DecodingError, is EventStreamParser.Broken: "the answer is not that of a Ferry API of this version"
    // Ferry's own errors describe themselves in words; so do the system's.
    default: "\(error)"
    }
}

private func words(for error: HTTPClientError) -> String {
    switch error {
    case .connectTimeout, .getConnectionFromPoolTimeout: "no connection in time"
    case .readTimeout, .writeTimeout, .deadlineExceeded: "no answer in time"
    case .remoteConnectionClosed: "the connection closed before the answer was there"
    default: error.shortDescription
    }
}

private func words(for error: NIOConnectionError) -> String {
    if let first = error.connectionErrors.first { return words(for: first.error) }
    if error.dnsAError != nil || error.dnsAAAAError != nil { return "the host name \(error.host) cannot be resolved" }
    return "no address of \(error.host) could be reached"
}
