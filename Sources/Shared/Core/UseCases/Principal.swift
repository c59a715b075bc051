// Who asks: an authenticated owner and what it may do.

/// What an authenticated principal may do.
public enum Role: String, Hashable, Sendable, CaseIterable {
    /// Makes uploads and sees its own.
    case uploader
    /// Sees all uploads, and what an operator needs; changes no owner, target or path.
    case `operator`
}

/// An authenticated principal.
public struct Principal: Hashable, Sendable {
    /// Who it is.
    public let owner: Owner
    /// What it may do.
    public let roles: Set<Role>

    /// A principal with its roles.
    public init(owner: Owner, roles: Set<Role>) {
        self.owner = owner
        self.roles = roles
    }

    /// Whether it may see and end an upload of this owner.
    public func maySee(_ owner: Owner) -> Bool { self.owner == owner || roles.contains(.operator) }
}
