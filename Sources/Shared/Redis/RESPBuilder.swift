// Puts a reply together from the calls that hiredis' reader makes for each of its items.

internal import CHiredis
internal import NIOCore

/// Items come depth first, an array before its elements; the arrays that are not full yet form a stack. Nothing of
/// Swift's is handed to hiredis as an object, so there is nothing to free when it gives up half-way.
final class RESPBuilder {
    private struct OpenArray {
        var elements: [RESPValue]
        let count: Int
    }

    private let limits: RESPLimits
    private var open: [OpenArray] = []
    private var finished: RESPValue?
    /// Why an item was refused; hiredis only knows that it was.
    private(set) var refusal: String?

    init(limits: RESPLimits) {
        self.limits = limits
    }

    func takeFinished() -> RESPValue? {
        defer { finished = nil }
        return finished
    }

    fileprivate func add(_ item: RESPValue) {
        var item = item
        while !open.isEmpty {
            let last = open.endIndex - 1
            open[last].elements.append(item)
            if open[last].elements.count < open[last].count { return }
            item = .array(open.removeLast().elements)
        }
        finished = item
    }

    fileprivate func addArray(count: Int) -> Bool {
        guard count <= limits.maximumArrayLength else {
            return refuse("an array of more than \(limits.maximumArrayLength) elements")
        }
        guard open.count < min(limits.maximumNesting, 7) else {
            return refuse("arrays nested deeper than \(limits.maximumNesting)")
        }
        guard count > 0 else {
            add(.array([]))
            return true
        }
        var elements: [RESPValue] = []
        // What is announced need not come, so memory is not taken for all of it.
        elements.reserveCapacity(min(count, 256))
        open.append(OpenArray(elements: elements, count: count))
        return true
    }

    /// `bytes` are followed by two more in hiredis' buffer, which it does not look at for a bulk string.
    fileprivate func addString(type: Int32, start: UnsafePointer<CChar>, count: Int) -> Bool {
        let bytes = UnsafeRawBufferPointer(start: start, count: count)
        if type == REDIS_REPLY_STRING {
            guard count <= limits.maximumBulkLength else {
                return refuse("a bulk string of more than \(limits.maximumBulkLength) bytes")
            }
            guard start[count] == 0x0D, start[count + 1] == 0x0A else {
                return refuse("a bulk string is longer than its length says")
            }
            add(.bulkString(ByteBuffer(bytes: bytes)))
            return true
        }
        guard count <= limits.maximumLineLength else {
            return refuse("a line of more than \(limits.maximumLineLength) bytes")
        }
        let line = String(decoding: bytes, as: UTF8.self)
        add(type == REDIS_REPLY_ERROR ? .error(RedisServerError(line: line)) : .simpleString(line))
        return true
    }

    private func refuse(_ reason: String) -> Bool {
        refusal = reason
        return false
    }
}

/// The table of functions that hiredis calls. What they return stands for "made" (the builder itself, never looked
/// at) or "refused" (null).
enum ReaderFunctions {
    // Safe: filled in here, before anybody can see it, and only read from then on. It lives as long as the program.
    nonisolated(unsafe) static let table: UnsafeMutablePointer<redisReplyObjectFunctions> = {
        let table = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
        table.initialize(
            to: redisReplyObjectFunctions(
                createString: { task, start, count in
                    guard let task, let start else { return nil }
                    let type = task.pointee.type
                    return made(task) { $0.addString(type: type, start: start, count: count) }
                },
                createArray: { task, count in made(task) { $0.addArray(count: Int(count)) } },
                createInteger: { task, number in
                    made(task) {
                        $0.add(.integer(number))
                        return true
                    }
                },
                createNil: { task in
                    made(task) {
                        $0.add(.null)
                        return true
                    }
                },
                freeObject: { _ in }
            )
        )
        return table
    }()

    private static func made(
        _ task: UnsafePointer<redisReadTask>?,
        _ body: (RESPBuilder) -> Bool
    ) -> UnsafeMutableRawPointer? {
        guard let pointer = task?.pointee.privdata else { return nil }
        return body(Unmanaged<RESPBuilder>.fromOpaque(pointer).takeUnretainedValue()) ? pointer : nil
    }
}
