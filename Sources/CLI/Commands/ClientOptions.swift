// What all client commands take: where the API is, who asks, and how answers are printed.

internal import ArgumentParser
internal import Core
internal import Foundation

/// Options of every command that asks the API.
struct ClientOptions: ParsableArguments {
    @Option(help: "The API's address; FERRY_URL where it is not given.")
    var url: String?

    @Option(help: "A file that holds the token; the variable FERRY_TOKEN where it is not given.")
    var tokenFile: String?

    @Flag(help: "Print JSON.")
    var json = false

    /// Runs work with a client that is shut down afterwards, in terms of exit codes.
    func withClient<Answer>(
        connections: Int = 8,
        insists: Bool = false,
        _ body: (FerryClient) async throws -> Answer
    ) async throws -> Answer {
        let environment = ProcessInfo.processInfo.environment
        guard let url = url ?? environment["FERRY_URL"], !url.isEmpty else {
            throw CommandFailure(.usage, "no API: give --url or set FERRY_URL")
        }
        let parts = URLComponents(string: url)
        guard let scheme = parts?.scheme, ["http", "https"].contains(scheme), parts?.host?.isEmpty == false else {
            throw CommandFailure(.usage, "\(Terminal.plain(url)) is no URL like http://127.0.0.1:8080")
        }
        // Set to nothing is how scripts unset it.
        var token = environment["FERRY_TOKEN"].flatMap { $0.isEmpty ? nil : $0 }
        if let tokenFile {
            guard let text = try? String(contentsOfFile: tokenFile, encoding: .utf8) else {
                throw CommandFailure(.usage, "the token file \(tokenFile) cannot be read")
            }
            let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
            guard !trimmed.isEmpty else { throw CommandFailure(.usage, "the token file \(tokenFile) is empty") }
            token = trimmed
        }
        let client = FerryClient(url: url, token: token, connections: connections, insists: insists)
        do {
            let answer = try await body(client)
            await client.shutdown()
            return answer
        } catch {
            await client.shutdown()
            switch error {
            case let failure as CommandFailure: throw failure
            case let refusal as FerryClient.Refusal: throw refusal.failure
            case is CancellationError: throw CommandFailure(.interrupted, "interrupted")
            case is DecodingError, is EventStreamParser.Broken:
                throw CommandFailure(.failed, "\(url): \(words(for: error))")
            default: throw CommandFailure(.unavailable, "\(url): \(words(for: error))")
            }
        }
    }

    /// Prints the server's document as it came.
    func show(_ body: Data) { print(String(decoding: body, as: UTF8.self)) }
}

/// An upload's identifier as an argument: checked, because it becomes part of a URL.
func checkedID(_ text: String) throws(CommandFailure) -> String {
    guard UploadID(text) != nil else {
        throw CommandFailure(.notFound, "'\(Terminal.plain(text))' is not an upload's identifier")
    }
    return text
}

/// A query of the parameters that have a value.
func queryText(_ parameters: [(name: String, value: String?)]) -> String {
    var components = URLComponents()
    components.queryItems = parameters.compactMap { parameter in
        parameter.value.map { URLQueryItem(name: parameter.name, value: $0) }
    }
    return components.percentEncodedQuery ?? ""
}
