// The index's Lua scripts, put together once from the program's resources.

internal import Redis

/// The scripts that change and read the index. Each is a file in `Scripts` whose head says its keys, arguments and
/// returns.
enum UploadScripts {
    // Changes, refused where the index is not the one that the caller attached to.
    static let create = guarded("create", PackageResources.create_lua)
    static let receive = guarded("receive", PackageResources.receive_lua)
    static let submit = guarded("submit", PackageResources.submit_lua)
    static let complete = guarded("complete", PackageResources.complete_lua)
    static let cancel = guarded("cancel", PackageResources.cancel_lua)
    static let expire = guarded("expire", PackageResources.expire_lua)
    static let replay = guarded("replay", PackageResources.replay_lua)
    static let generation = guarded("generation", PackageResources.generation_lua)
    static let start = guarded("start", PackageResources.start_lua)
    static let shipped = guarded("shipped", PackageResources.shipped_lua)
    static let strike = guarded("strike", PackageResources.strike_lua)
    static let claim = guarded("claim", PackageResources.claim_lua)
    static let renew = guarded("renew", PackageResources.renew_lua)
    static let release = guarded("release", PackageResources.release_lua)
    static let commit = guarded("commit", PackageResources.commit_lua)
    static let finish = guarded("finish", PackageResources.finish_lua)
    static let fail = guarded("fail", PackageResources.fail_lua)
    static let retry = guarded("retry", PackageResources.retry_lua)
    static let forbid = guarded("forbid", PackageResources.forbid_lua)
    static let knows = guarded("knows", PackageResources.knows_lua)
    static let revive = guarded("revive", PackageResources.revive_lua)
    static let tries = guarded("tries", PackageResources.tries_lua)
    static let tried = guarded("tried", PackageResources.tried_lua)
    static let sweeps = guarded("sweeps", PackageResources.sweeps_lua)
    static let swept = guarded("swept", PackageResources.swept_lua)
    static let cleaned = guarded("cleaned", PackageResources.cleaned_lua)
    static let due = guarded("due", PackageResources.due_lua)
    static let postpone = guarded("postpone", PackageResources.postpone_lua)

    // Questions, and what makes the index staging's again.
    static let read = open("read", PackageResources.read_lua)
    static let holder = open("holder", PackageResources.holder_lua)
    static let parts = open("parts", PackageResources.parts_lua)
    static let list = open("list", PackageResources.list_lua)
    static let backlog = open("backlog", PackageResources.backlog_lua)
    static let moved = open("moved", PackageResources.moved_lua)
    static let sessions = open("sessions", PackageResources.sessions_lua)
    static let history = open("history", PackageResources.history_lua)
    static let condition = open("condition", PackageResources.condition_lua)
    static let adopt = open("adopt", PackageResources.adopt_lua)
    static let announce = open("announce", PackageResources.announce_lua)
    static let roll = open("roll", PackageResources.roll_lua)
    static let restoreBegin = open("restore_begin", PackageResources.restore_begin_lua)
    static let restoreParts = open("restore_parts", PackageResources.restore_parts_lua)
    static let requeue = open("requeue", PackageResources.requeue_lua)
    static let confirm = open("confirm", PackageResources.confirm_lua)
    static let restoreFinish = open("restore_finish", PackageResources.restore_finish_lua)

    // Short locks, which know nothing of uploads.
    static let acquire = RedisScript(name: "acquire", source: text(PackageResources.acquire_lua))
    static let unlock = RedisScript(name: "unlock", source: text(PackageResources.unlock_lua))

    // A question that is asked so often that it does without what the others share.
    static let ship = RedisScript(name: "ship", source: text(PackageResources.ship_lua))

    // Sessions to targets, which know nothing of uploads either.
    static let enter = RedisScript(name: "enter", source: text(PackageResources.enter_lua))
    static let entered = RedisScript(name: "entered", source: text(PackageResources.entered_lua))
    static let stay = RedisScript(name: "stay", source: text(PackageResources.stay_lua))

    /// What is put before the scripts on uploads.
    static let common = text(PackageResources.common_lua)

    private static let guardText = text(PackageResources.guard_lua)

    private static func guarded(_ name: String, _ bytes: [UInt8]) -> RedisScript {
        joined(name, bytes, preamble: common + guardText)
    }

    private static func open(_ name: String, _ bytes: [UInt8]) -> RedisScript {
        joined(name, bytes, preamble: common)
    }

    /// Redis reads flags from the first line only (`#!lua flags=…`), so the preamble goes after it.
    private static func joined(_ name: String, _ bytes: [UInt8], preamble: String) -> RedisScript {
        let lines = text(bytes).split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
        let body = lines.count > 1 ? lines[1] : ""
        return RedisScript(name: name, source: "\(lines[0])\n\(preamble)\n\(body)")
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
