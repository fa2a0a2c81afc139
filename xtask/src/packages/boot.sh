# The same file twice: out here it boots this Debian's own systemd in namespaces that end with it, and in there it is a service of that
# systemd. Nothing of the machine is changed: /proc/sys and /sys are read-only, /dev has nodes that everybody has.
if [ "${1-}" != booted ]; then
    groups=/mnt/groups
    mkdir -p $groups
    if ! mount -t cgroup2 none $groups; then
        echo '   skipped: there are no control groups of version 2 here, and so no systemd'
        exit 0
    fi
    own=$groups/yk-cargo-packages-$$
    if ! mkdir $own; then
        echo '   skipped: no control group can be made here, and so no systemd boots'
        exit 0
    fi
    cat > /etc/systemd/system/judge.service <<END
[Unit]
Wants=dbus.socket
After=dbus.socket
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=/bin/sh -eu $0 booted
Environment="AS_SERVICE=$AS_SERVICE"
StandardOutput=append:/var/log/judge
StandardError=append:/var/log/judge
END
    ended=0
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child --uts --ipc sh -euc '
        echo 0 > "$1/cgroup.procs"
        exec unshare --cgroup sh -euc "
            mkdir /mnt/dev
            mount -t tmpfs -o mode=755 none /mnt/dev
            for node in null zero full random urandom tty; do cp -a /dev/\$node /mnt/dev/; done
            umount -R /dev
            mount --move /mnt/dev /dev
            mkdir /dev/pts /dev/shm
            mount -t devpts -o newinstance,ptmxmode=666 none /dev/pts
            ln -s pts/ptmx /dev/ptmx
            ln -s /proc/self/fd /dev/fd
            mount -t proc none /proc
            mount --bind -o ro /proc/sys /proc/sys
            mount -t sysfs -o ro none /sys
            mount -t cgroup2 none /sys/fs/cgroup
            mount -t tmpfs -o mode=755 none /run
            exec env -i container=yk-cargo PATH=\"$PATH\" /lib/systemd/systemd --unit=judge.service --show-status=no \
                --log-target=journal"
        ' sh $own || ended=$?
    cat /var/log/judge
    find $own -depth -type d -exec rmdir {} +
    umount $groups
    rm /etc/systemd/system/judge.service
    [ $ended = 0 ] || fail "systemd ended with $ended"
    exit 0
fi

# serves COMMAND...: what the command does makes the service serve, as its journal shows. `index` is then its index URL.
serves() {
    cursor=$(journalctl --quiet --lines 0 --show-cursor | sed -n 's/^-- cursor: //p')
    rm -f $journal
    mkfifo $journal
    timeout 120 journalctl --quiet --unit registry-gateway --output cat --follow --no-tail --after-cursor "$cursor" > $journal &
    reader=$!
    "$@"
    until_ready < $journal || fail "it does not serve: $*"
    kill $reader
}

# Also what systemd says of a service that cannot start ends the wait.
until_ready() {
    while read -r word rest; do
        case "$word $rest" in
        'index '*) index=$rest ;;
        'ready '*) return 0 ;;
        *'Failed with result '\'exit-code\'*) fail "$(journalctl --unit registry-gateway)" ;;
        esac
    done
    return 1
}

trap 'journalctl --quiet --unit registry-gateway --lines 20' EXIT
serves systemctl enable --quiet --now registry-gateway
echo "   enabled and started, it serves $index"
as_alice "$enroll" sh booted "$index" > /run/add
sh -eu /run/add
as_alice "$publish" sh booted 0.2.0
holds 'the key signed' registry-gateway record greeting@0.2.0
# The page's own line. The port is another one each time, of which doctor complains.
holds 'the store holds what its log says' sh -c "$AS_SERVICE || true"
holds 'registry-gateway:registry-gateway 700' stat --format='%U:%G %a' $store
systemctl reload registry-gateway
holds 'active' systemctl is-active registry-gateway
serves systemctl kill --signal KILL registry-gateway
echo '   killed, it comes back'
before=$(systemctl show --property MainPID --value registry-gateway)
serves apt-get -qq install --yes --allow-downgrades --no-install-recommends /judged/1/registry-gateway_*.deb
[ "$(systemctl show --property MainPID --value registry-gateway)" != "$before" ] || fail 'another version was not started'
echo '   another version is installed, and serves'
[ -z "$(find $store ! -user registry-gateway)" ] || fail 'a part of the store is not its user'\''s'
systemctl stop registry-gateway
holds 'success' systemctl show --property Result --value registry-gateway
systemctl start registry-gateway
apt-get -qq remove --yes registry-gateway
holds 'inactive' sh -c 'systemctl is-active registry-gateway || true'
apt-get -qq install --yes --no-install-recommends /judged/2/registry-gateway_*.deb
trap - EXIT
