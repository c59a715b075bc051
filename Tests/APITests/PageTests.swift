// The pages as they are served: whole, small, from here only, and with nothing that could become code.

import Adapters
import Core
import CoreTesting
import Foundation
import Harness
import NIOCore
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct PageTests {
    private static let folder = ProjectRoot.path("Sources/API/Resources/Page")
    private static var files: PageFiles { PageFiles(sha256: { SHA256.digest($0) }, compress: Gzip.compress) }

    private func sources() throws -> [(name: String, text: String)] {
        try FileManager.default.contentsOfDirectory(atPath: Self.folder).sorted().map { name in
            (name, try String(contentsOfFile: "\(Self.folder)/\(name)", encoding: .utf8))
        }
    }

    @Test func everyFileIsServedAsItIs() async throws {
        let sources = try sources()
        #expect(Self.files.names == sources.map(\.name))
        try await APIFixture().serve { api in
            for (name, text) in sources {
                let answer = try await api.request("GET", "/page/\(name)", token: nil)
                #expect(answer.status == 200 && answer.text == text, "\(name)")
            }
            #expect(
                try await api.request("GET", "/", token: nil).text == sources.first { $0.name == "index.html" }?.text
            )
            #expect(
                try await api.request("GET", "/ops", token: nil).text == sources.first { $0.name == "ops.html" }?.text
            )
            for name in ["none.js", "..%2fopenapi.yaml", "page.css/more", ""] {
                let answer = try await api.request("GET", "/page/\(name)", token: nil)
                #expect(answer.status == 404 && answer.problem == "route-unknown", "\(name)")
            }
        }
    }

    @Test func thePolicyAllowsNothingFromElsewhereAndNoCodeInPages() async throws {
        try await APIFixture().serve { api in
            for path in ["/", "/ops", "/page/page.js"] {
                let answer = try await api.request("GET", path, token: nil)
                let policy = try #require(answer["Content-Security-Policy"])
                #expect(policy.hasPrefix("default-src 'none'; script-src 'self';"))
                for word in ["unsafe", "*", "data:", "blob:", "http"] { #expect(!policy.contains(word)) }
                #expect(policy.contains("frame-ancestors 'none'") && policy.contains("require-trusted-types-for"))
                #expect(answer["X-Content-Type-Options"] == "nosniff" && answer["Referrer-Policy"] == "no-referrer")
            }
        }
    }

    @Test func whatTheBrowserHasIsNotSentAgain() async throws {
        try await APIFixture().serve { api in
            let first = try await api.request("GET", "/page/page.css", token: nil)
            let mark = try #require(first["ETag"])
            #expect(mark.hasPrefix("W/\"") && first["Cache-Control"] == "no-cache")
            for known in [mark, String(mark.dropFirst(2)), "\"x\", \(mark)", "*"] {
                let again = try await api.request("GET", "/page/page.css", token: nil, fields: ["If-None-Match": known])
                #expect(again.status == 304 && again.body.isEmpty && again["ETag"] == mark, "\(known)")
            }
            let other = try await api.request("GET", "/page/page.css", token: nil, fields: ["If-None-Match": "\"x\""])
            #expect(other.status == 200)
        }
    }

    @Test func itIsCompressedForThoseWhoCanReadIt() async throws {
        try await APIFixture().serve { api in
            let plain = try await api.request("GET", "/page/page.js", token: nil)
            for (accepts, isCompressed) in [
                ("gzip", true), ("br, gzip;q=0.5", true), ("*", true), ("gzip;q=0", false), ("br", false), ("", false),
            ] {
                let fields = ["Accept-Encoding": accepts]
                let answer = try await api.request("GET", "/page/page.js", token: nil, fields: fields)
                #expect((answer["Content-Encoding"] == "gzip") == isCompressed, "\(accepts)")
                // The fixture's compression turns the bytes round.
                #expect(answer.body == (isCompressed ? Array(plain.body.reversed()) : plain.body), "\(accepts)")
                #expect(answer["Vary"] == "Accept-Encoding")
            }
        }
    }

    @Test func pagesAndModuleTogetherAreSmall() {
        let files = Self.files
        let sizes = files.names.compactMap { files[$0]?.gzip?.readableBytes }
        #expect(sizes.count == files.names.count)
        #expect(sizes.reduce(0, +) <= 60_000, "\(sizes.reduce(0, +)) bytes compressed")
    }

    @Test func nothingBecomesMarkupAndNothingComesFromElsewhere() throws {
        for (name, text) in try sources() {
            for word in [
                "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc",
                "createContextualFragment", "javascript:",
            ] { #expect(!text.contains(word), "\(name) has \(word)") }
            let addresses = text.matches(of: /https?:\/\/[^"'\s)]+/).map { String($0.output) }
            #expect(addresses.allSatisfy { $0 == "http://www.w3.org/2000/svg" }, "\(name): \(addresses)")
            guard name.hasSuffix(".html") else { continue }
            #expect(text.firstRange(of: /\sstyle=|\son[a-z]+=|<script(?![^>]*src=)|<style/) == nil, "\(name)")
        }
    }

    @Test func everyReasonOfAFailureIsExplainedInEachLanguage() throws {
        let sources = try sources()
        let texts = try #require(sources.first { $0.name == "texts.js" }?.text)
        let dead = try #require(sources.first { $0.name == "ops-dead.js" }?.text)
        for reason in FailureReason.allCases {
            #expect(texts.ranges(of: "'reason.\(reason.rawValue)':").count == 2, "\(reason.rawValue)")
            // To choose from where dead letters are filtered.
            #expect(dead.contains("'\(reason.rawValue)'"), "\(reason.rawValue)")
        }
    }

    @Test func filesOfThePageAreShortAndSayWhatTheyAreFor() throws {
        for (name, text) in try sources() where name.hasSuffix(".js") {
            #expect(text.hasPrefix("// "), "\(name)")
            #expect(text.split(separator: "\n", omittingEmptySubsequences: false).count <= 401, "\(name)")
        }
    }
}
