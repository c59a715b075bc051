// What a target can do, and which way to build files follows from it.

internal import Core

/// What was found out about a target by trying it.
struct TargetProbe: Hashable, Sendable {
    /// What commands find on the target.
    struct Commands: Hashable, Sendable {
        /// Whether they see the files that SFTP sees, under the same names: not where the account is locked in.
        var seeFiles = false
        /// The programs that are there, of those that Ferry can use.
        var programs: Set<String> = []
    }

    /// Writes before and behind a file's end go where they are meant.
    var writesAtOffsets = false
    /// A file that was closed can be written on at its end.
    var writesAtEnd = false
    /// A file can be given another name.
    var renames = false
    /// A file is shown once its handle is closed, and what it replaces stays until then, or for good where the session
    /// ends before.
    var showsWhatIsClosed = false
    /// Version 3's rename leaves a taken name alone (draft-ietf-secsh-filexfer-02 §6.5).
    var leavesTakenNames = false
    /// `posix-rename@openssh.com` replaces in one step.
    var replacesInOneStep = false
    /// `fsync@openssh.com` is confirmed.
    var flushes = false
    /// A file keeps the time that it is given.
    var keepsTimes = false
    /// `copy-data` copies from file to file.
    var copies = false
    /// `check-file` answers with the right SHA-256 (draft-ietf-secsh-filexfer-09 §9.1.2), announced or not.
    var checksFiles = false
    /// `statvfs@openssh.com` is answered.
    var tellsSpace = false
    /// The largest write that was confirmed, in bytes.
    var largestWrite = 0
    /// What commands find; nil where none are run.
    var commands: Commands?

    /// How files are built there, and why.
    var choice: (strategy: MergeStrategy, reason: String)? {
        guard renames else {
            return showsWhatIsClosed ? (.stream, "files cannot be renamed, but appear when they are closed") : nil
        }
        if writesAtOffsets { return (.inPlace, "writes at offsets and renames work") }
        if let commands, commands.seeFiles { return (.script, "no writes at offsets, but commands are run") }
        if copies { return (.copy, "no writes at offsets, but the server copies by itself") }
        if writesAtEnd { return (.relay, "no writes at offsets, but at a file's end") }
        return (.stream, "a file is only written from its start, once")
    }

    /// The facts as they are shown.
    var facts: [String: String] {
        func word(_ fact: Bool) -> String { fact ? "yes" : "no" }
        var facts = [
            "offsetWrites": word(writesAtOffsets), "endWrites": word(writesAtEnd), "rename": word(renames),
            "appearWhenClosed": word(showsWhatIsClosed),
            "renameNoClobber": word(leavesTakenNames), "renameOver": word(replacesInOneStep), "fsync": word(flushes),
            "times": word(keepsTimes), "copyData": word(copies), "checkFile": word(checksFiles),
            "statvfs": word(tellsSpace), "largestWrite": String(largestWrite), "exec": word(commands != nil),
        ]
        for program in Self.programs { facts[program] = word(commands?.programs.contains(program) == true) }
        if let commands, !commands.seeFiles { facts["exec"] = "elsewhere" }
        return facts
    }

    /// The programs that are looked for.
    static let programs = ["sha256sum", "openssl", "python3", "flock"]
}
