# What several judges use. They run as root in a clean Debian; /judged/1 has the packages, /judged/2 a later revision.
programs='yk-cargo registry-gateway mock-card'
config=/etc/registry-gateway/registry-gateway.toml
key=/etc/registry-gateway/credentials.key
store=/var/lib/registry-gateway
# The journal of what the service printed.
journal=/run/gateway.journal

fail() {
    printf 'wrong: %s\n' "$*" >&2
    exit 1
}

# holds TEXT COMMAND...: what the command prints has the text.
holds() {
    text=$1
    shift
    said=$("$@" 2>&1) || fail "$*: $said"
    case $said in
    *"$text"*) ;;
    *) fail "$* does not say \"$text\": $said" ;;
    esac
    called=$1
    shift $(($# - 1))
    printf '   %s … %s: %s\n' "$called" "$1" "$text"
}

# As systemd starts the service: the unit's own command, as its user, with a copy of its key and the path systemd looks in.
# Prints nothing; `index` is then the registry's index URL.
start_service() {
    unit=/lib/systemd/system/registry-gateway.service
    user=$(sed -n 's/^User=//p' $unit)
    install -d -m 700 -o "$user" /run/credentials
    install -m 400 -o "$user" $key /run/credentials/credentials.key
    rm -f $journal
    mkfifo $journal
    # shellcheck disable=SC2046
    setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs env -i \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin CREDENTIALS_DIRECTORY=/run/credentials \
        $(sed -n 's/^Environment=//p' $unit) $(sed -n 's/^ExecStart=//p' $unit) > $journal 2> /run/gateway.errors &
    service=$!
    until_ready < $journal || fail "the service did not start: $(cat /run/gateway.errors)"
}

stop_service() {
    kill $service
    wait $service || fail "the service ended badly: $(cat /run/gateway.errors)"
}

until_ready() {
    index=
    while read -r word rest; do
        case $word in
        index) index=$rest ;;
        ready) return 0 ;;
        esac
    done
    return 1
}

# as_alice SCRIPT ARGUMENTS...: with a card of hers plugged in, the real cargo, and a home.
as_alice() {
    setpriv --reuid alice --regid alice --clear-groups env -i HOME=/home/alice LC_ALL=C.UTF-8 \
        PATH=/usr/bin:/bin:/opt/rust/bin YK_CARGO_PIN_COMMAND=/home/alice/pin \
        mock-card exec --card pin=654321,state=/home/alice/card,touch=auto -- sh -eu -c "$@"
}

# Makes keys for a registry and prints the commands that register them.
# shellcheck disable=SC2016
enroll='
mkdir -p ~/.cargo
printf "[registries.%s]\nindex = \"%s\"\n" "$1" "$2" >> ~/.cargo/config.toml
yk-cargo enroll "$1" --yes --configure --label "$1-key" > ~/enrolled 2>&1 || { cat ~/enrolled >&2; exit 1; }
sed -n "s/^ *\(registry-gateway key add --user \)<NAME>/\1alice/p" ~/enrolled
'

# Publishes a crate in this version or in 0.1.0, with the build that verifies it, and fetches it again for another one.
# shellcheck disable=SC2016
publish='
rm -rf ~/work
mkdir -p ~/work/greeting/src ~/work/app/src
cd ~/work
printf "[package]\nname = \"greeting\"\nversion = \"%s\"\nedition = \"2024\"\ndescription = \"Says hello\"\nlicense = \"MIT\"\n" "${2-0.1.0}" > greeting/Cargo.toml
echo "pub fn greeting() -> &'"'static"' str { \"hello\" }" > greeting/src/lib.rs
printf "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\ngreeting = { version = \"%s\", registry = \"%s\" }\n" "${2-0.1.0}" "$1" > app/Cargo.toml
echo "fn main() {}" > app/src/main.rs
(cd greeting && cargo publish --registry "$1" --allow-dirty)
(cd app && cargo fetch)
'
