import Core
import Testing

@Suite("Paths from clients")
struct TargetPathTests {
    @Test(
        "are refused for a reason that says what is wrong",
        arguments: [
            ("", TargetPath.Refusal.empty),
            ("/etc/passwd", .absolute),
            ("//a", .absolute),
            ("..", .dotComponent),
            ("../a", .dotComponent),
            ("a/../../b", .dotComponent),
            ("a/./b", .dotComponent),
            (".", .dotComponent),
            ("a//b", .emptyComponent),
            ("a/", .emptyComponent),
            ("a\u{0}b", .controlCharacter),
            ("a\nb", .controlCharacter),
            ("a\r\nb", .controlCharacter),
            ("a\u{7F}", .controlCharacter),
            ("a\u{85}", .controlCharacter),
            ("a\\b", .backslash),
            ("..\\a", .backslash),
            (String(repeating: "x", count: 256), .componentTooLong),
            (String(repeating: "ü", count: 128), .componentTooLong),
            (Array(repeating: String(repeating: "x", count: 200), count: 21).joined(separator: "/"), .tooLong),
            (".ferry-0.1.part", .reservedName),
            ("a/.ferry-x", .reservedName),
            (".ferry-dir/a", .reservedName),
        ]
    )
    func refused(text: String, refusal: TargetPath.Refusal) {
        #expect(throws: refusal) { try TargetPath(text) }
    }

    @Test(
        "are taken as they are where nothing is wrong",
        arguments: [
            "a", "a/b/c.bin", "...", "..a", "a b", " a", "a;rm -rf b", "$(x)", "a'b\"c", "-rf", "~", "中文/文件", ".ferry",
            String(repeating: "x", count: 255),
        ]
    )
    func taken(text: String) throws {
        #expect(try TargetPath(text).description == text)
    }

    @Test("are normalised to composed form before anything else looks at them")
    func normalised() throws {
        let composed = try TargetPath("caf\u{E9}/a")
        let decomposed = try TargetPath("cafe\u{301}/a")
        #expect(composed == decomposed)
        #expect(Array(decomposed.description.utf8) == Array("caf\u{E9}/a".utf8))
    }

    @Test("separate at every slash byte, a combining mark behind it or not")
    func combiningMarkAfterSlash() {
        #expect(throws: TargetPath.Refusal.dotComponent) { try TargetPath("a/../\u{301}b") }
    }

    @Test("that are not UTF-8 are refused")
    func invalidUTF8() {
        #expect(throws: TargetPath.Refusal.invalidUTF8) { try TargetPath(utf8: [0x61, 0xFF]) }
        #expect(throws: TargetPath.Refusal.invalidUTF8) { try TargetPath(utf8: [0xC0, 0xAF]) }
    }

    @Test("lie in a directory by components, never by their first letters")
    func below() throws {
        #expect(try TargetPath("a/b").isBelow(["a"]))
        #expect(try !TargetPath("ab/c").isBelow(["a"]))
        #expect(try !TargetPath("a").isBelow(["a"]))
        #expect(try TargetPath("a").isBelow([]))
    }
}
