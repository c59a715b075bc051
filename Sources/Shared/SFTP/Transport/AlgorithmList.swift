// The allow-list of SSH algorithms.

/// Algorithms this client agrees to, best first. No SHA-1, CBC, RC4 or compression, whatever the library offers.
enum AlgorithmList {
    static let keyExchange = [
        "curve25519-sha256", "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521",
    ]
    static let hostKey = [
        "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "rsa-sha2-512", "rsa-sha2-256",
    ]
    static let cipher = [
        "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr", "aes192-ctr",
    ]
    static let mac = [
        "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512",
    ]

    /// The allowed ones among `offered`, in order of preference.
    static func choose(_ allowed: [String], from offered: [String]) -> [String] {
        let offered = Set(offered)
        return allowed.filter(offered.contains)
    }
}
