// The load of a fault: what its clients do, from the seed.

import Harness

/// What the uploads of a fault are like.
struct LoadShape: Sendable {
    /// Milliseconds over which uploads begin.
    var window = 4_000
    /// Sizes between these, in KiB, for uploads in several parts.
    var largest = 3 * 1024
    /// How many of a hundred travel in one request.
    var oneRequestShare = 25
    /// How many of a hundred replace a file.
    var replaceShare = 15
    /// How many of a hundred are given up by their client.
    var cancelShare = 8
    /// Number of targets that are used.
    var targets = 1
    /// At least so many uploads, whatever is asked for.
    var minimum = 1
    /// At most so many.
    var maximum = Int.max
}

/// A fault's uploads.
struct LoadPlan: Sendable, Hashable {
    var uploads: [PlannedUpload]

    /// Draws uploads below a directory of the targets.
    init(_ count: Int, _ shape: LoadShape, directory: String, targets: [String], using random: inout SeededGenerator) {
        let count = min(max(count, shape.minimum), shape.maximum)
        uploads = (0..<count).map {
            Self.draw($0, of: count, shape, directory, Array(targets.prefix(shape.targets)), &random)
        }
    }

    private static func draw(
        _ number: Int,
        of count: Int,
        _ shape: LoadShape,
        _ directory: String,
        _ targets: [String],
        _ random: inout SeededGenerator
    ) -> PlannedUpload {
        let partSize = [64, 128, 256, 512, 1_024].randomElement(using: &random).map { $0 * 1_024 } ?? 65_536
        let size = drawSize(number, partSize, shape.largest * 1_024, &random)
        var upload = PlannedUpload(
            number: number,
            owner: random.chance(50) ? .alice : .bob,
            target: targets.isEmpty ? "" : targets[number % targets.count],
            path: "\(directory)/\(number).bin",
            size: size,
            partSize: partSize,
            contentSeed: random.next(),
            way: .oneRequest
        )
        upload.begin = count > 1 ? Int.random(in: 0...shape.window, using: &random) : 0
        upload.replaces = random.chance(shape.replaceShare)
        upload.declaresDigest = random.chance(40)
        upload.declaresPartDigests = random.chance(40)
        if upload.replaces { upload.tolerated = [Digest.sha256Hex(previous(of: upload))] }
        guard !random.chance(shape.oneRequestShare) else { return upload }
        var order = Array(1..<upload.partCount + 1).shuffled(using: &random)
        for part in order where random.chance(20) { order.append(part) }
        upload.way = .parts(order: order)
        if random.chance(shape.cancelShare) {
            upload.cancel =
                random.chance(50)
                ? .afterParts(Int.random(in: 0...upload.partCount, using: &random))
                : .afterAcknowledgement(Int.random(in: 0...400, using: &random))
        }
        return upload
    }

    /// Every kind of size comes often: nothing, below one part, exactly some parts, some parts and a rest.
    private static func drawSize(_ number: Int, _ part: Int, _ largest: Int, _ random: inout SeededGenerator) -> Int {
        let most = max(1, largest / part)
        switch number % 8 {
        case 0: return random.chance(50) ? 0 : Int.random(in: 1...100, using: &random)
        case 1, 2: return Int.random(in: 1..<part, using: &random)
        case 3, 4: return Int.random(in: 1...most, using: &random) * part
        default: return Int.random(in: 1...most, using: &random) * part - Int.random(in: 1..<part, using: &random)
        }
    }

    /// What lies at the path of an upload that replaces a file.
    static func previous(of upload: PlannedUpload) -> [UInt8] {
        Content.bytes(1_000 + upload.number, seed: upload.contentSeed ^ 0xFFFF)
    }
}
