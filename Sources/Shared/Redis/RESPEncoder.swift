// Commands written as RESP2: an array of bulk strings ("RESP protocol description", Sending commands).

public import NIOCore

extension ByteBuffer {
    /// Appends one command with its arguments. Lengths come first, so no byte in an argument can end it.
    public mutating func writeRedisCommand(_ command: String, _ arguments: [RedisArgument]) {
        writeHeader(UInt8(ascii: "*"), arguments.count + 1)
        writeBulk(command)
        for argument in arguments {
            switch argument.content {
            case .text(let text): writeBulk(text)
            case .integer(let number): writeBulk(String(number))
            case .bytes(let bytes):
                writeHeader(UInt8(ascii: "$"), bytes.readableBytes)
                writeImmutableBuffer(bytes)
                writeLineEnd()
            }
        }
    }

    private mutating func writeBulk(_ text: String) {
        writeHeader(UInt8(ascii: "$"), text.utf8.count)
        writeString(text)
        writeLineEnd()
    }

    private mutating func writeHeader(_ kind: UInt8, _ count: Int) {
        if count < 10 {
            writeMultipleIntegers(
                kind,
                UInt8(ascii: "0") + UInt8(truncatingIfNeeded: count),
                0x0D as UInt8,
                0x0A as UInt8
            )
        } else if count < 100 {
            let (tens, ones) = UInt8(truncatingIfNeeded: count).quotientAndRemainder(dividingBy: 10)
            let zero = UInt8(ascii: "0")
            writeMultipleIntegers(kind, zero + tens, zero + ones, 0x0D as UInt8, 0x0A as UInt8)
        } else {
            writeInteger(kind)
            writeString(String(count))
            writeLineEnd()
        }
    }

    private mutating func writeLineEnd() {
        writeMultipleIntegers(0x0D as UInt8, 0x0A as UInt8)
    }
}
