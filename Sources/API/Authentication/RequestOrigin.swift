// RequestOrigin: which page a browser sends a request for, as far as the browser tells.

import HTTPTypes

/// Where a request comes from. What browsers send of their own accord cannot be set by a page.
enum RequestOrigin: Hashable, Sendable {
    /// A page of this server.
    case ownPage
    /// The person at the browser: an address that was typed, a bookmark.
    case person
    /// A page of somebody else.
    case otherPage
    /// Nobody tells: no browser, or an old one that asks for nothing but to read.
    case unknown

    /// By `Sec-Fetch-Site` (W3C Fetch Metadata §2.3), else by `Origin` (RFC 6454 §7) against the host that was asked.
    init(of head: HTTPRequest) {
        if let site = head.headerFields[values: .fetchSite].first {
            switch site {
            case "same-origin": self = .ownPage
            case "none": self = .person
            default: self = .otherPage
            }
            return
        }
        guard let origin = head.headerFields[values: .origin].first else {
            self = .unknown
            return
        }
        let host = Self.host(of: origin)
        self = host != nil && host == head.authority?.lowercased() ? .ownPage : .otherPage
    }

    /// Whether the page is this machine's own, by `Origin`; nil where that is not told.
    static func isLoopback(_ head: HTTPRequest) -> Bool? {
        head.headerFields[values: .origin].first.map { SessionCookie.isLoopback(host(of: $0)) }
    }

    /// Host and port of an origin (RFC 6454 §6.2).
    private static func host(of origin: String) -> String? {
        let scheme = ["https://", "http://"].first { origin.hasPrefix($0) }
        return scheme.map { origin.dropFirst($0.count).lowercased() }
    }

    /// Whether a request that changes nothing may use what the browser sends along by itself.
    var mayRead: Bool { self != .otherPage }
    /// Whether one that changes something may.
    var mayChange: Bool { self == .ownPage }
}
