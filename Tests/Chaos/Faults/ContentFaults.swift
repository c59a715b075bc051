// Bytes that change on a disk, and part files that vanish.

import Foundation
import Glibc
import Harness

/// A staged part has a flipped byte before its upload is completed.
struct StagedFlipBeforeComplete: Fault {
    let name = "staged-flip-before-complete"
    let words = "a byte flipped in a staged part before complete: the client is told and sends it again"

    func inject(_ scene: Scene) async throws {
        for worker in scene.fleet.workers { try worker.suspend() }
        let upload = scene.plan(parts: 3)
        let identifier = try await scene.begin(upload)
        guard let part = scene.fleet.stagedParts(of: identifier).first, Fleet.flip(part, at: 77) else {
            throw HarnessError("no staged part")
        }
        for worker in scene.fleet.workers { try worker.proceed() }
        try await eventually("the part is missing again", within: .seconds(30)) {
            try await PartNumbers.parse(scene.state(identifier).text("receivedParts")) == [2, 3]
        }
        try await scene.complete(upload, identifier)
    }
}

/// A staged part has a flipped byte after complete was answered.
struct StagedFlipAfterComplete: Fault {
    let name = "staged-flip-after-complete"
    let words = "a byte flipped in a staged part after complete: it fails, and the part is sent again"

    func inject(_ scene: Scene) async throws {
        for worker in scene.fleet.workers { try worker.suspend() }
        let upload = scene.plan(parts: 3)
        let identifier = try await scene.begin(upload)
        try await scene.complete(upload, identifier)
        let parts = scene.fleet.stagedParts(of: identifier)
        guard parts.count == 3, Fleet.flip(parts[scene.draw(0...2)], at: 77) else {
            throw HarnessError("no staged part")
        }
        for worker in scene.fleet.workers { try worker.proceed() }
        try await scene.wait(identifier, for: "failed")
    }
}

/// A byte changes on the target between its being written and its being proven.
struct TargetFlipBeforeProof: Fault {
    let name = "target-flip-before-proof"
    let words = "bytes flipped in part files on the target before they are proven, five times"

    func inject(_ scene: Scene) async throws {
        try scene.target.damageBeforeProof(times: 5)
        // Parts up to 64 KiB are read back instead, so some own ones make sure that there are digests to take.
        for _ in 0..<3 { await scene.send(scene.plan(parts: 3)) }
        try await eventually("five parts were damaged", within: .seconds(20)) { scene.target.damageLeft == 0 }
    }

    func heal(_ scene: Scene) async throws { try scene.target.forgetDamage() }
}

/// A byte changes on the target after its part was proven, before the merge.
struct TargetFlipBeforeMerge: Fault {
    let name = "target-flip-before-merge"
    let words = "a byte flipped in a part file on the target after its part was proven, before the merge"

    func inject(_ scene: Scene) async throws {
        var upload = scene.plan(parts: 3)
        upload.declaresDigest = true
        let identifier = try await scene.begin(upload)
        try await eventually("all parts are shipped", within: .seconds(20)) {
            try await scene.state(identifier).text("shippedParts") == "1-3"
        }
        let files = scene.fleet.partFiles(of: identifier, below: scene.directory, on: scene.target)
        guard let file = files.first, Fleet.flip(file, at: UInt64(scene.draw(0...500_000))) else {
            throw HarnessError("no part file")
        }
        try await scene.complete(upload, identifier)
    }
}

/// Part files are removed from the target while they are written, proven and merged.
struct PartFileDeleted: Fault {
    let name = "part-file-deleted"
    let words = "part files deleted on the target, at random for 4 s and once just before the merge"

    func inject(_ scene: Scene) async throws {
        let upload = scene.plan(parts: 3)
        let identifier = try await scene.begin(upload)
        try await eventually("all parts are shipped", within: .seconds(20)) {
            try await scene.state(identifier).text("shippedParts") == "1-3"
        }
        for file in scene.fleet.partFiles(of: identifier, below: scene.directory, on: scene.target) { unlink(file) }
        try await scene.complete(upload, identifier)
        let end = ContinuousClock.now + .seconds(4)
        var count = 0
        while ContinuousClock.now < end {
            let files = scene.fleet.partFiles(below: scene.directory, on: scene.target)
            if !files.isEmpty, unlink(try scene.pick(files)) == 0 { count += 1 }
            try await scene.pause(100...400)
        }
        scene.note("\(count) deleted at random")
    }
}

extension Faults {
    static let content: [any Fault] = [
        StagedFlipBeforeComplete(), StagedFlipAfterComplete(), TargetFlipBeforeProof(), TargetFlipBeforeMerge(),
        PartFileDeleted(),
    ]
}
