// The fixed programs that put parts together on the target: POSIX sh, with Python where it is installed.

/// The programs of the script strategy, and the command that reads them. See `Programs/merge.sh` for what they are told
/// and what they answer.
enum MergeScriptProgram {
    /// What it says first.
    static let greeting = "ferry-merge"
    /// The line after the last one of each.
    private static let end = "# That is all."

    /// The command: reads the program for the shell up to its last line and runs it. One line with nothing in it that a
    /// login shell other than `sh` would take amiss.
    static let command = """
        exec sh -c 'echo \(greeting); n=$(printf "\\nx"); n=${n%x}; p=; \
        while IFS= read -r l && [ "$l" != "\(end)" ]; do p="$p$l$n"; done; eval "$p"'
        """

    /// The lines to be sent first.
    static let lines = [PackageResources.merge_sh, PackageResources.merge_py].flatMap { program in
        String(decoding: program, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            .map(String.init) + [end]
    }
}
