# shellcheck shell=bash
# Keys of a private SSH server and of its one client. To be sourced, with umask 077.

# make_keys DIRECTORY PORT TYPE...: the client's key and who may log in with it, and a host key of each type (ed25519,
# ecdsa, rsa). For clients it writes DIRECTORY/known_hosts and DIRECTORY/fingerprints (lines "ed25519 SHA256:...").
# The same DIRECTORY keeps its keys.
make_keys() {
    local directory=$1 port=$2 type algorithm public fingerprint
    shift 2
    make_key "$directory/client_ed25519" ed25519 ferry-client
    [[ -f $directory/authorized_keys ]] || cp "$directory/client_ed25519.pub" "$directory/authorized_keys"
    : >"$directory/known_hosts"
    : >"$directory/fingerprints"
    for type in "$@"; do
        make_key "$directory/host_$type" "$type" ferry-host
        read -r algorithm public _ <"$directory/host_$type.pub"
        printf '[127.0.0.1]:%s %s %s\n' "$port" "$algorithm" "$public" >>"$directory/known_hosts"
        read -r _ fingerprint _ < <(ssh-keygen -l -E sha256 -f "$directory/host_$type.pub")
        printf '%s %s\n' "$type" "$fingerprint" >>"$directory/fingerprints"
    done
}

# make_key FILE TYPE COMMENT: unless it is there.
make_key() {
    [[ -f $1 ]] || ssh-keygen -q -t "$2" -N '' -C "$3" -f "$1"
}
