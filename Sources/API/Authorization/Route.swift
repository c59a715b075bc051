// Route: every route with who may use it. The one table that the router, the documentation and the tests share.

import Core
import HTTPTypes

/// A route of the HTTP interface.
enum Route: CaseIterable, Sendable {
    case createUpload
    case listUploads
    case showUpload
    case cancelUpload
    case putPart
    case completeUpload
    case watchUpload
    case watchUploads
    case putFile
    case showHistory
    case listDeadLetters
    case showDeadLetter
    case replayDeadLetter
    case replayDeadLetters
    case discardDeadLetter
    case listTargets
    case listWorkers
    case listQueues
    case fileUploadStatus
    case fileDirInfo
    case fileChunkUpload
    case bigFileMerge
    case showThroughput
    case signIn
    case showSession
    case signOut
    case uploadPage
    case operationsPage
    case pageFile
    case health
    case readiness
    case metrics
    case document

    /// The verb.
    var method: HTTPRequest.Method {
        switch self {
        case .createUpload, .completeUpload, .replayDeadLetter, .replayDeadLetters, .signIn: .post
        case .fileUploadStatus, .fileDirInfo, .fileChunkUpload, .bigFileMerge: .post
        case .putPart, .putFile: .put
        case .cancelUpload, .discardDeadLetter, .signOut: .delete
        default: .get
        }
    }

    /// The path's template; `**` stands for the rest of the path.
    var path: String {
        switch self {
        case .createUpload, .listUploads: "/v1/uploads"
        case .showUpload, .cancelUpload: "/v1/uploads/{id}"
        case .putPart: "/v1/uploads/{id}/parts/{number}"
        case .completeUpload: "/v1/uploads/{id}/complete"
        case .watchUpload: "/v1/uploads/{id}/events"
        case .watchUploads: "/v1/events"
        case .putFile: "/v1/files/{target}/**"
        case .showHistory: "/v1/uploads/{id}/history"
        case .listDeadLetters: "/v1/dead-letters"
        case .showDeadLetter, .discardDeadLetter: "/v1/dead-letters/{id}"
        case .replayDeadLetter: "/v1/dead-letters/{id}/replay"
        case .replayDeadLetters: "/v1/dead-letters/replay"
        case .listTargets: "/v1/targets"
        case .listWorkers: "/v1/workers"
        case .listQueues: "/v1/queues"
        case .fileUploadStatus: "/get_file_upload_status"
        case .fileDirInfo: "/get_file_dir_info"
        case .fileChunkUpload: "/file_chunk_upload"
        case .bigFileMerge: "/bigfile_merge"
        case .showThroughput: "/v1/throughput"
        case .signIn, .showSession, .signOut: "/v1/session"
        case .uploadPage: "/"
        case .operationsPage: "/ops"
        case .pageFile: "/page/{name}"
        case .health: "/healthz"
        case .readiness: "/readyz"
        case .metrics: "/metrics"
        case .document: "/openapi.yaml"
        }
    }

    /// Who may use it.
    var access: Access {
        switch self {
        case .createUpload, .putPart, .completeUpload, .putFile, .fileUploadStatus, .fileDirInfo, .fileChunkUpload,
            .bigFileMerge:
            .roles([.uploader])
        case .listUploads, .showUpload, .cancelUpload, .watchUpload, .watchUploads, .showHistory,
            .showSession, .signOut:
            .roles([.uploader, .operator])
        case .listDeadLetters, .showDeadLetter, .replayDeadLetter, .replayDeadLetters, .discardDeadLetter,
            .listTargets, .listWorkers, .listQueues, .showThroughput:
            .roles([.operator])
        case .signIn, .uploadPage, .operationsPage, .pageFile, .health, .readiness, .metrics, .document: .anyone
        }
    }

    /// Whether it is one of the interfaces of the system that Ferry replaces, which have answers of their own form.
    var isCompatibility: Bool {
        switch self {
        case .fileUploadStatus, .fileDirInfo, .fileChunkUpload, .bigFileMerge: true
        default: false
        }
    }

    /// Whether a path matches the template, component by component.
    func matches(path: String) -> Bool {
        let template = self.path.split(separator: "/")
        let components = path.split(separator: "/")
        for (index, part) in template.enumerated() {
            if part == "**" { return components.count > index }
            guard index < components.count, part.hasPrefix("{") || part == components[index] else { return false }
        }
        return components.count == template.count
    }
}

/// Who may use a route.
enum Access: Hashable, Sendable {
    /// No token is asked for.
    case anyone
    /// A principal with one of these roles. Within the route it acts with these roles only: an operator who is also an
    /// uploader does not write parts of somebody else's upload.
    case roles(Set<Role>)

    /// The principal as the route may see it; nil where no role fits.
    func narrowed(_ principal: Principal) -> Principal? {
        guard case .roles(let allowed) = self else { return principal }
        let roles = principal.roles.intersection(allowed)
        return roles.isEmpty ? nil : Principal(owner: principal.owner, roles: roles)
    }
}
