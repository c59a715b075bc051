// Listings: page after page is asked for and shown, up to a limit.

internal import Foundation

/// A page of a listing, as the API answers it.
protocol PageView: Decodable {
    /// What is on it, a line each.
    var lines: [String] { get }
    /// Where the next page begins; nil at the end.
    var next: String? { get }
}

extension ClientOptions {
    /// How many a page has at most.
    private static let page = 500

    /// Shows a listing: a line each, or the pages as they came.
    func showPages<Page: PageView>(
        of _: Page.Type,
        at path: String,
        _ query: [(name: String, value: String?)],
        limit: Int
    ) async throws {
        try await withClient { client in
            var left = limit
            var cursor: String?
            repeat {
                let text = queryText(query + [("limit", String(min(left, Self.page))), ("cursor", cursor)])
                let body = try await client.raw("GET", "\(path)?\(text)").body
                let page = try JSONDecoder().decode(Page.self, from: body)
                let lines = page.lines
                if json { show(body) } else { for line in lines { print(line) } }
                left -= lines.count
                // A page may be empty and not the last: the server looks at so many uploads for it, and no more.
                cursor = page.next
            } while cursor != nil && left > 0
        }
    }
}
