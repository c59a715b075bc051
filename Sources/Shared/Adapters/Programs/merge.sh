#!/bin/sh
# Puts the parts of a merge together on the target: read by a shell from its standard input, up to a line that ends it.
# What differs from merge to merge follows there as lines, and never stands in a command.
#
# It reads the program for Python, up to such a line too, then the part file's path, the directory's path, and 1 or 0
# for flushing; answers with what the record says and how long the part file is; then takes lines
# `part <index> <offset> <size> <name> <end>`, each of which begins where the last one ended, answers each when it is
# done, and ends with its input. All answers are JSON, one a line.
#
# It opens the part file once, never makes or cuts it, and writes nothing but a part's bytes to its place. Before each
# part it looks whether what it has open is still the part file of a generation that is there: it outlives the
# connection that started it.
#
# shellcheck disable=SC1007

fail() {
    detail=$(printf '%s' "$2" | tr '\n' ' ' | tr -cd 'A-Za-z0-9 .,:/_-' | cut -c 1-300)
    printf '{"detail":"%s","error":"%s"}\n' "$detail" "$1"
    exit 0
}
# Ends with what the words of a command that failed mean.
trouble() {
    [ -d "$directory" ] || fail lost "the directory of the generation is gone"
    case $said in *'o space left'*) fail full "$said" ;; *'uota exceeded'*) fail quota "$said" ;; esac
    fail write "$said"
}
main() {
    n=$(printf '\nx') python=
    n=${n%x}
    while IFS= read -r line && [ "$line" != "# That is all." ]; do python=$python$line$n; done
    IFS= read -r part && IFS= read -r directory && read -r flush || exit 0
    # One that only bears the name, or has not all of its library, is none.
    if [ "$(python3 -c 'import fcntl, json; print("yes")' </dev/null 2>/dev/null)" = yes ]; then
        exec python3 -c "$python" "$part" "$directory" "$flush"
    fi
    LC_ALL=C
    export LC_ALL
    open_part
    take_lock
    [ "$(look)" = "$seen" ] || fail lost "another part file has taken its place"
    find_flush
    read_record
    printf '{"length":%s,"next":%s,"size":%s}\n' "$(length_of "$part")" "$next" "$size"
    position=
    while read -r word index offset bytes name end; do
        [ "$word" = part ] || fail request
        for number in "$index" "$offset" "$bytes" "$end"; do is_number "$number" || fail request; done
        case $name in '' | *[!0-9a-f-]*) fail request ;; esac
        [ "${position:-$offset}" = "$offset" ] || fail request
        place
        write_record
        printf '{"next":%s,"size":%s}\n' "$((index + 1))" "$end"
    done
}
is_file() { [ -f "$1" ] && [ ! -h "$1" ]; }
is_number() {
    case $1 in '' | *[!0-9]* | 0?*) return 1 ;; esac
    [ "${#1}" -le 18 ]
}
length_of() { { wc -c <"$1"; } 2>/dev/null | { read -r count && echo "$count" || echo 0; }; }
# Which file and which directory bear the names.
look() { ls -di -- "$part" "$directory" 2>/dev/null; }
# Opens the part file as 8, which stays the same file whatever becomes of the name. Thanks to `command` the shell does
# not end where it cannot be opened.
open_part() {
    { [ -d "$directory" ] && [ ! -h "$directory" ] && is_file "$part"; } || fail lost "there is no part file"
    seen=$(look)
    {
        command exec 8<"$part" || fail_open
        # A shell that opens for writing makes what is not there. What is open already is, and has a name on Linux.
        if [ -e /proc/self/fd/8 ]; then
            command exec 8<>/proc/self/fd/8 || fail_open
        else
            command exec 8<>"$part" || fail_open
        fi
    } 2>/dev/null
    [ "$(look)" = "$seen" ] && return
    # What another generation has taken away may have been made anew just now: nobody's file.
    [ -d "$directory" ] || [ -s "$part" ] || rm -f "$part"
    fail lost "another part file has taken its place"
}
fail_open() {
    [ "$(look)" = "$seen" ] || fail lost "the part file is gone"
    fail write "the part file cannot be opened"
}
# The lock only saves work: who cannot have it for any other reason than that it is held goes on without.
take_lock() {
    tries=0
    if command -v flock >/dev/null 2>&1; then
        { [ ! -e "$directory/lock" ] || is_file "$directory/lock"; } || return
        { command exec 9>>"$directory/lock"; } 2>/dev/null || return
        # A lock that is held is 1 without a word.
        until said=$(flock -n 9 2>&1); do
            { [ "$?" = 1 ] && [ -z "$said" ]; } || return
            [ "$tries" -lt 10 ] || fail busy
            tries=$((tries + 1))
            sleep 1
        done
        return
    fi
    # Whoever works touches it before each part. One that was left is taken over after ten seconds at the latest: should
    # its owner be at work all the same, both write the same bytes to the same places.
    until mkdir "$directory/lock.d" 2>/dev/null; do
        [ -d "$directory/lock.d" ] || return
        if [ "$tries" -ge 10 ] || [ -n "$(find "$directory/lock.d" -prune -mmin +1 2>/dev/null)" ]; then break; fi
        tries=$((tries + 1))
        sleep 1
    done
    trap 'rmdir "$directory/lock.d" 2>/dev/null' EXIT
    trap 'exit 0' HUP INT TERM PIPE
}
# Where dd cannot flush a file, sync flushes everything.
find_flush() {
    if [ "$flush" != 1 ]; then
        flush="none"
    elif clear_new && dd if=/dev/null bs=1 conv=notrunc,fsync >>"$directory/record.new" 2>/dev/null; then
        flush="file"
    else
        flush="all"
    fi
}
# A record is {"next":3,"size":12582912}; any other says nothing.
read_record() {
    next=0 size=0
    is_file "$directory/record" || return
    line=$(dd if="$directory/record" bs=4096 count=1 2>/dev/null)
    case $line in '{"next":'*',"size":'*'}') ;; *) return ;; esac
    line=${line#'{"next":'}
    line=${line%'}'}
    if is_number "${line%%,*}" && is_number "${line#*',"size":'}"; then
        next=${line%%,*}
        size=${line#*',"size":'}
    fi
}
# Clears the way for what is about to be written there.
clear_new() { [ ! -e "$directory/record.new" ] || is_file "$directory/record.new" || rm -f "$directory/record.new"; }
write_record() {
    clear_new
    # cat tells why it cannot write, which not every shell does for what is built into it.
    said=$({ printf '{"next":%s,"size":%s}\n' "$((index + 1))" "$end" | cat >"$directory/record.new"; } 2>&1) || trouble
    said=$(mv -f "$directory/record.new" "$directory/record" 2>&1) && return
    # Another script has put the same there.
    { [ -d "$directory" ] && [ ! -e "$directory/record.new" ]; } || trouble
}
place() {
    [ -d "$directory/lock.d" ] && touch -c "$directory/lock.d"
    [ "$(look)" = "$seen" ] || fail lost "the part file is gone, or another"
    source=$directory/$name
    is_file "$source" || fail lost "$name is gone"
    [ "$(length_of "$source")" = "$bytes" ] || fail lost "$name does not have $bytes bytes"
    said=$(copy 2>&1 >&8) || trouble
    # What was put in its place meanwhile may have been shorter: what follows would not go to its place.
    [ "$(length_of "$source")" = "$bytes" ] || fail lost "$name does not have $bytes bytes"
    position=$((offset + bytes))
    case $flush in
        file) said=$(dd if=/dev/null bs=1 conv=notrunc,fsync 2>&1 >&8) || trouble ;;
        all) said=$(sync 2>&1) || trouble ;;
    esac
}
# All have the same open file: one begins to write where the one before has left its position.
copy() {
    [ -n "$position" ] || dd if=/dev/null bs=1 seek="$offset" conv=notrunc || return
    cat "$source"
}
main
