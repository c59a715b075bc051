import Core
import Testing

@Suite("Parts and what they cover")
struct ManifestTests {
    private static let digest = SHA256Digest(bytes: [UInt8](repeating: 7, count: 32))

    private func part(_ offset: Int64, _ size: Int64) throws -> Part {
        Part(offset: offset, size: size, digest: try #require(Self.digest))
    }

    @Test("Ranges are joined in whatever order they come, and gaps are named")
    func joined() throws {
        let manifest = Manifest([try part(20, 10), try part(0, 10), try part(40, 5)])
        #expect(manifest.ranges == [0..<10, 20..<30, 40..<45])
        #expect(manifest.missing(of: 50) == [10..<20, 30..<40, 45..<50])
        #expect(manifest.bytes == 25)
        #expect(!manifest.covers(45))
        #expect(Manifest([try part(0, 10), try part(10, 5)]).covers(15))
        #expect(!Manifest([try part(0, 10), try part(11, 4)]).covers(15))
    }

    @Test("An empty file needs no part; a part beyond the end does not count against a file")
    func edges() throws {
        #expect(Manifest([]).covers(0))
        #expect(!Manifest([]).covers(1))
        #expect(Manifest([try part(0, 10), try part(10, 10)]).covers(10))
        #expect(Manifest([]).missing(of: 5) == [0..<5])
        #expect(Manifest([]).missing(of: 0).isEmpty)
    }

    @Test(
        "Part numbers begin at 1, and only the last part may be smaller",
        arguments: [
            (Int64(1), Int64?.some(0), Int64?.some(4_096)),
            (2, 4_096, 4_096),
            (3, 8_192, 100),
            (4, nil, nil),
            (0, nil, nil),
            (-1, nil, nil),
            (Int64.max, nil, nil),
        ]
    )
    func layout(number: Int64, offset: Int64?, size: Int64?) {
        let layout = PartLayout(partSize: 4_096, size: 8_292)
        #expect(layout.count == 3)
        #expect(layout.offset(of: number) == offset)
        #expect(layout.sizes(of: number) == size.map { $0...$0 })
    }

    @Test("Without a size every number up to the bound may come, with up to the part size")
    func unknownSize() {
        let layout = PartLayout(partSize: 4_096, size: nil)
        #expect(layout.count == nil)
        #expect(layout.sizes(of: 50_000) == 1...4_096)
        #expect(layout.sizes(of: 50_001) == nil)
        #expect(PartLayout(partSize: 4_096, size: 0).sizes(of: 1) == nil)
    }

    @Test("The default part size grows with the file and keeps well below 50,000 parts")
    func defaults() throws {
        let configured: Int64 = 10_485_760
        #expect(PartLayout.defaultPartSize(for: nil, configured: configured) == configured)
        #expect(PartLayout.defaultPartSize(for: 1, configured: configured) == configured)
        for size in [Int64(100 << 30), 1 << 40, 5 << 40] {
            let partSize = PartLayout.defaultPartSize(for: size, configured: configured)
            let count = try #require(PartLayout(partSize: partSize, size: size).count)
            #expect(count <= 10_001)
            #expect(PartLayout.partSizes.contains(partSize))
        }
    }

    @Test("Numbers print as the contract says")
    func numbers() {
        #expect(PartNumbers([Int64]()).description == "")
        #expect(PartNumbers([3, 1, 2, 42]).description == "1-3,42")
        #expect(PartNumbers([5, 5]).description == "5")
    }
}
