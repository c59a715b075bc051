import Core
import CoreTesting
import Testing

@Suite("Creation")
struct CreateTests {
    @Test("A new path is taken; the same content by the same owner resumes; other content does not")
    func resume() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let first = try await client.create("a", size: 9, digest: World.digest([1]), fingerprint: "f")
            guard case .created(let upload) = first else { Issue.record("\(first)"); return }
            #expect(try await world.staging.read(upload.id)?.record == upload.record)
            #expect(try await client.create("a", size: 9, digest: World.digest([1])) == .resumed(upload))
            #expect(try await client.create("a", size: 9, fingerprint: "f") == .resumed(upload))
            for (size, digest, fingerprint) in [
                (Int64?.some(8), nil, "f"), (9, nil, "g"), (9, nil, nil), (nil, nil, "f"),
                (9, World.digest([2]), "f"),
            ] as [(Int64?, SHA256Digest?, String?)] {
                await #expect(throws: IntakeError.differentContent(upload.id)) {
                    _ = try await client.create("a", size: size, digest: digest, fingerprint: fingerprint)
                }
            }
            // A refused creation leaves no record.
            #expect(try await world.staging.uploads(after: nil, touchedSince: nil, limit: 9) == [upload.id])
        }
    }

    @Test("Somebody else's upload is in progress, and who it is is not told")
    func inProgress() throws {
        let world = World()
        try world.run {
            _ = try await world.client().create("a", size: 9, fingerprint: "f")
            let stranger = try await world.client(World.stranger)
            await #expect(throws: IntakeError.uploadInProgress(retryAfter: .seconds(30))) {
                _ = try await stranger.create("a", size: 9, fingerprint: "f")
            }
            #expect(try await world.staging.uploads(after: nil, touchedSince: nil, limit: 9).count == 1)
        }
    }

    @Test("An idempotency key finds its upload again, for its owner and path only")
    func idempotency() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let first = try await client.create("a", size: 9, key: "k").upload
            #expect(try await client.create("a", size: 9, key: "k") == .resumed(first))
            await #expect(throws: IntakeError.self) { _ = try await client.create("b", size: 9, key: "k") }
            let other = try await world.client(World.stranger).create("b", size: 9, key: "k").upload
            #expect(other.id != first.id)
            #expect(try await world.staging.uploads(after: nil, touchedSince: nil, limit: 9).count == 2)
        }
    }

    @Test("A key whose upload has arrived still answers that upload")
    func idempotencyAfterwards() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.send([1, 2, 3], to: "a")
            try await world.startWorker()
            try await world.settle()
            // The file that is there is the one that this creation made.
            let again = try await client.create("a", size: 3, key: "send a", probes: true)
            #expect(again.upload.id == id)
            #expect(again.upload.state == .done)
            #expect(try await world.leftovers() == [])
        }
    }

    @Test("A path that is just being cleaned is waited for, but not for long")
    func cleaning() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: 9).upload.id
            _ = try await client.api.intake.cancel(id, for: World.owner)
            let start = world.clock.now
            await #expect(throws: IntakeError.uploadInProgress(retryAfter: .seconds(2))) {
                _ = try await client.create("a", size: 8)
            }
            #expect(world.clock.now - start >= .seconds(3))
            #expect(world.clock.now - start < .seconds(4))
            world.background {
                try? await world.clock.sleep(.seconds(1))
                try? await client.api.store.cleaned(id)
            }
            guard case .created = try await client.create("a", size: 8) else { Issue.record("not created"); return }
        }
    }

    @Test("A file that is there is reported before anything is sent; a replacing creation is not held up by it")
    func probe() throws {
        let world = World()
        world.target.files[path("a")] = InMemoryTarget.File(bytes: [1])
        try world.run {
            let client = try await world.client()
            await #expect(throws: IntakeError.targetExists(path("a"))) {
                _ = try await client.create("a", size: 9, probes: true)
            }
            #expect(try await world.staging.uploads(after: nil, touchedSince: nil, limit: 9).isEmpty)
            // A key that was not used before changes nothing, and leaves nothing.
            await #expect(throws: IntakeError.targetExists(path("a"))) {
                _ = try await client.create("a", size: 9, key: "k", probes: true)
            }
            #expect(try await world.leftovers() == [])
            guard case .created = try await client.create("a", size: 9, overwrite: .replace, probes: true) else {
                Issue.record("not created"); return
            }
        }
    }

    @Test("An index that is full or being rebuilt takes nothing, and no record is left")
    func refusedByIndex() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            world.server.setFull(true)
            await #expect(throws: IntakeError.self) { _ = try await client.create("a", size: 9) }
            world.server.setFull(false)
            world.server.restart()
            await #expect(throws: IntakeError.self) { _ = try await client.create("a", size: 9) }
            #expect(try await world.staging.uploads(after: nil, touchedSince: nil, limit: 9).isEmpty)
            #expect(world.server.index.heldPaths.isEmpty)
        }
    }

    @Test("The owner's yes to replacing sends an upload on that waits because the path is taken")
    func replayWithOverwrite() throws {
        let world = World()
        world.target.files[path("a")] = InMemoryTarget.File(bytes: [1])
        try world.run {
            let client = try await world.client()
            let file = Bytes.seeded(3, count: 5_000).array
            let id = try await client.send(file, to: "a")
            try await world.startWorker()
            try await world.settle()
            #expect(world.server.index.uploads.first?.failure?.reason == .targetExists)
            #expect(world.target.files[path("a")]?.bytes == [1])
            let again = try await client.create(
                "a",
                size: 5_000,
                digest: World.digest(file),
                overwrite: .replace,
                fingerprint: "f"
            )
            #expect(again.upload.id == id)
            try await world.settle()
            try await world.expectArrived(id, file, at: "a")
        }
    }

    @Test(
        "What cannot be accepted is refused by name",
        arguments: [
            CreateRequest(target: "nowhere", path: "a"), CreateRequest(target: "t", path: "../a"),
            CreateRequest(target: "t", path: "a", size: -1), CreateRequest(target: "t", path: "a", size: .max),
            CreateRequest(target: "t", path: "a", partSize: 4_095),
            CreateRequest(target: "t", path: "a", size: 4_096 * 50_001, partSize: 4_096),
            CreateRequest(target: "t", path: "a", fingerprint: String(repeating: "x", count: 513)),
            CreateRequest(target: "t", path: "a", metadata: ["k": String(repeating: "x", count: 8_192)]),
            CreateRequest(target: "t", path: "a", idempotencyKey: ""),
            CreateRequest(
                target: "t",
                path: "a",
                attributes: FinalAttributes(modifiedAt: Timestamp(microseconds: -1))
            ),
            CreateRequest(
                target: "t",
                path: "a",
                attributes: FinalAttributes(modifiedAt: Timestamp(microseconds: 4_294_967_296_000_000))
            ),
        ]
    )
    func refused(request: CreateRequest) throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            await #expect(throws: IntakeError.self) {
                _ = try await client.api.intake.create(request, for: World.owner)
            }
            #expect(try await world.staging.uploads(after: nil, touchedSince: nil, limit: 9).isEmpty)
        }
    }

    @Test("An upload keeps the attributes that its creation said, whoever resumes it", arguments: [nil, "k"])
    func attributes(key: String?) throws {
        let world = World()
        try world.run {
            var client = try await world.client()
            client.attributes = FinalAttributes(
                mode: FileMode(octal: "0600"),
                modifiedAt: Timestamp(microseconds: 4_294_967_295_999_999)
            )
            let first = try await client.create("a", size: 9, fingerprint: "f", key: key).upload
            #expect(first.record.attributes == client.attributes)
            #expect(try await world.staging.read(first.id)?.record.attributes == client.attributes)
            client.attributes = FinalAttributes()
            #expect(try await client.create("a", size: 9, fingerprint: "f", key: key) == .resumed(first))
        }
    }

    @Test("What only the index has, since a rebuild read a refused creation, holds no path", arguments: [nil, "k"])
    func ghost(key: String?) throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let ghost = try await client.create("a", size: 5_000, key: key).upload
            try await world.staging.discard(ghost.id)
            let created = try await client.create("a", size: 5_000, key: key)
            guard case .created(let upload) = created else { Issue.record("\(created)"); return }
            #expect(upload.id != ghost.id)
            #expect(try await world.staging.read(upload.id) != nil)
            #expect(try await client.api.intake.upload(ghost.id, for: World.owner).state == .cancelled)
        }
    }
}
