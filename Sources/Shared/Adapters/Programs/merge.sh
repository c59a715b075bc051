#!/bin/sh
# Puts the parts of a merge together on the target: read by a shell from its standard input, up to a line that ends it.
# What differs from merge to merge follows there as lines, and never stands in a command.
#
# It reads the program for Python, up to such a line too, then the part file's path, the directory's path, and 1 or 0 for
# flushing; answers with what the record says and how long the part file is; then takes lines
# `part <index> <offset> <size> <name> <end>`, answers each when it is done, and ends with its input. All answers are JSON,
# one a line.
#
# It never makes the part file, nor cuts it, and writes nothing but a part's bytes to its place. Before each part it looks
# whether its generation is still there: it outlives the connection that started it.
#
# shellcheck disable=SC1007

fail() { printf '{"error":"%s"}\n' "$1"; exit 0; }
main() {
    n=$(printf '\nx') python=
    n=${n%x}
    while IFS= read -r line && [ "$line" != "# That is all." ]; do python=$python$line$n; done
    IFS= read -r part && IFS= read -r directory && read -r flush || exit 0
    command -v python3 >/dev/null 2>&1 && exec python3 -c "$python" "$part" "$directory" "$flush"
    { [ -d "$directory" ] && [ ! -h "$directory" ] && is_file "$part"; } || fail lost
    take_lock
    next=0 size=0
    if [ -f "$directory/record" ]; then
        line=$(head -c 4096 "$directory/record")
        next=$(printf '%s' "$line" | sed -n 's/^{"next":\([0-9]*\),"size":[0-9]*}$/\1/p')
        size=$(printf '%s' "$line" | sed -n 's/^{"next":[0-9]*,"size":\([0-9]*\)}$/\1/p')
    fi
    length=$(($(wc -c <"$part")))
    printf '{"length":%s,"next":%s,"size":%s}\n' "$length" "${next:-0}" "${size:-0}"
    while read -r word index offset bytes name end && [ "$word" = part ]; do
        case $index$offset$bytes$end in *[!0-9]*) fail request ;; esac
        case $name in *[!0-9a-f-]*) fail request ;; esac
        place
        printf '{"next":%s,"size":%s}\n' "$((index + 1))" "$end"
    done
}
is_file() { [ -f "$1" ] && [ ! -h "$1" ]; }
take_lock() {
    if command -v flock >/dev/null 2>&1; then
        exec 9>>"$directory/lock"
        flock -w 10 9 || fail busy
        return
    fi
    tries=0
    until mkdir "$directory/lock.d" 2>/dev/null; do
        [ -d "$directory" ] || fail lost
        # Whoever works touches it before each part. One that was left is taken after ten seconds at the latest: should its
        # owner be at work all the same, both write the same bytes to the same places.
        if [ "$tries" -ge 10 ] || [ -n "$(find "$directory/lock.d" -prune -mmin +1 2>/dev/null)" ]; then
            rmdir "$directory/lock.d" 2>/dev/null
        else
            tries=$((tries + 1))
            sleep 1
        fi
    done
    trap 'rmdir "$directory/lock.d" 2>/dev/null' EXIT
    trap 'exit 0' HUP INT TERM PIPE
}
place() {
    [ -d "$directory/lock.d" ] && touch "$directory/lock.d"
    source=$directory/$name
    { [ -d "$directory" ] && is_file "$part" && is_file "$source"; } || fail lost
    [ "$(($(wc -c <"$source")))" = "$bytes" ] || fail lost
    # Both have the same open file, so that one begins to write where the other has put its position.
    said=$({ dd if=/dev/null bs=1 seek="$offset" conv=notrunc 2>/dev/null && LC_ALL=C cat "$source"; } 2>&1 1<>"$part") ||
        case $said in *'o space left'*) fail full ;; *'uota exceeded'*) fail quota ;; *) fail write ;; esac
    # What another generation has taken away meanwhile was made anew by the shell: nobody's file.
    [ -d "$directory" ] || { rm -f "$part"; fail lost; }
    if [ "$flush" = 1 ]; then
        dd if=/dev/null of="$part" bs=1 conv=notrunc,fsync 2>/dev/null || sync
    fi
    printf '{"next":%s,"size":%s}\n' "$((index + 1))" "$end" >"$directory/record.new" || fail write
    mv -f "$directory/record.new" "$directory/record" || fail write
}
main
