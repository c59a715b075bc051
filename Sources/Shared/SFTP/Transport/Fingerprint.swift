// The printed form of a host key's digest.

/// `SHA256:` and unpadded base64, as OpenSSH prints it.
enum Fingerprint {
    static func text(sha256 digest: some Collection<UInt8>) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in digest {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[Int(bits >> UInt32(count) & 63)])
            }
        }
        if count > 0 { text.append(alphabet[Int(bits << UInt32(6 - count) & 63)]) }
        return "SHA256:" + String(decoding: text, as: UTF8.self)
    }

    /// A pin as configured, freed of what people paste along with it.
    static func normalized(_ pin: String) -> String {
        var pin = pin[...]
        while let last = pin.last, last == "=" || last.isWhitespace { pin.removeLast() }
        while let first = pin.first, first.isWhitespace { pin.removeFirst() }
        return String(pin)
    }
}
