import Testing

@testable import CLI

@Suite("What a person sees")
struct OutputTests {
    @Test(
        "Sizes",
        arguments: [
            (Int64(0), "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1_536, "1.5 KiB"), (1 << 30, "1.0 GiB"),
            (5 << 40, "5.0 TiB"), (1 << 60, "1048576.0 TiB"),
        ]
    )
    func sizes(bytes: Int64, text: String) {
        #expect(Units.bytes(bytes) == text)
    }

    @Test(
        "Times",
        arguments: [(0.0, "0:00"), (6.2, "0:07"), (60, "1:00"), (3_723, "1:02:03"), (1e12, "99:59:59"), (-5, "0:00")]
    )
    func times(seconds: Double, text: String) {
        #expect(Units.time(seconds) == text)
    }

    @Test("Rates", arguments: [(0.0, "0.0 kB/s"), (999_000, "999.0 kB/s"), (310_240_000, "310.2 MB/s")])
    func rates(rate: Double, text: String) {
        #expect(Units.rate(rate) == text)
    }

    @Test("Bars never exceed the terminal's width, at any width and at any share", arguments: [20, 40, 80, 200])
    func widths(width: Int) {
        var progress = Progress(size: 1_000_000_000)
        progress.elapsed = 3
        for received in stride(from: Int64(0), through: 1_000_000_000, by: 250_000_000) {
            progress.received = received
            progress.shipped = received / 2
            for line in progress.lines(name: String(repeating: "x", count: 300), width: width) {
                #expect(line.count <= width)
            }
        }
    }

    @Test("Bars show the share, this run's rate and the time that is left")
    func bars() {
        var progress = Progress(size: 1_000)
        progress.receivedBefore = 500
        progress.received = 750
        progress.elapsed = 0.5
        let line = progress.lines(name: "t:a", width: 80)[0]
        #expect(line.hasPrefix("received [####"))
        #expect(line.contains(" 75% "))
        #expect(line.contains("0.5 kB/s"))
        #expect(line.hasSuffix("0:01"))
    }

    @Test("An empty file is all there at once")
    func empty() {
        #expect(Progress(size: 0).lines(name: "a", width: 80)[0].contains("100%"))
    }

    @Test("Text from outside cannot command the terminal")
    func plain() {
        #expect(Terminal.plain("a\u{1B}[2Jb\nc\u{9B}1m") == "a?[2Jb?c?1m")
    }
}

@Suite("What is given on the command line")
struct ArgumentTests {
    @Test("TARGET:PATH")
    func destination() throws {
        let one = try Destination("web:a/b.bin")
        #expect(one.target == "web")
        #expect(try one.path(of: "x", count: 1) == "a/b.bin")
        #expect(throws: CommandFailure.self) { try one.path(of: "x", count: 2) }
        #expect(try Destination("web:dir/").path(of: "x", count: 2) == "dir/x")
        #expect(try Destination("web:").path(of: "x", count: 2) == "x")
        #expect(try Destination("web:a:b").path(of: "x", count: 1) == "a:b")
        for wrong in ["web", ":a", ""] { #expect(throws: CommandFailure.self) { try Destination(wrong) } }
    }

    @Test("Identifiers are checked before they become part of a URL")
    func identifiers() {
        for wrong in ["", "../x", "00000000000000ff0123456789abcdeF", "a b"] {
            #expect(throws: CommandFailure.self) { try checkedID(wrong) }
        }
    }
}

@Suite("What the API answers")
struct AnswerTests {
    @Test("Part ranges read what the contract prints")
    func ranges() {
        #expect(PartRanges.numbers("") == [])
        #expect(PartRanges.numbers("1-3,42") == [1, 2, 3, 42])
        for wrong in ["x", "3-1", "0", "1-", "1-2-3", "1-60000", "-1"] {
            #expect(PartRanges.numbers(wrong) == nil, "\(wrong)")
        }
    }

    @Test("Events are found wherever the bytes are cut", arguments: 1...12)
    func events(step: Int) throws {
        let text = ": hello\n\nevent: a\nid: 1\ndata: {\"a\":1}\n\ndata:x\r\ndata: y\r\n\r\nevent: b\n\n"
        var parser = EventStreamParser()
        var events: [String] = []
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            events += try parser.take(rest.prefix(step))
            rest = rest.dropFirst(step)
        }
        #expect(events == ["{\"a\":1}", "x\ny"])
    }

    @Test("A line without end ends the stream, not the memory")
    func endless() throws {
        var parser = EventStreamParser()
        let piece = [UInt8](repeating: 65, count: 65_536)
        #expect(throws: EventStreamParser.Broken.self) {
            for _ in 0..<17 { _ = try parser.take(piece) }
        }
    }
}
