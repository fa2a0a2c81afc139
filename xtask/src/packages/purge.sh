for program in $programs; do dpkg -L "$program"; done | sort -u > /run/installed
apt-get -qq remove --yes registry-gateway
[ -e $config ] || fail 'the configuration is gone before it was purged'
apt-get -qq purge --yes $programs
while read -r path; do
    if [ -f "$path" ] || [ -L "$path" ]; then
        case $path in
        /bin | /lib | /sbin) ;;
        *) fail "$path is left" ;;
        esac
    fi
done < /run/installed
[ ! -e $config ] || fail 'the configuration is left'
[ -z "$(find /etc/systemd /var/lib/systemd/deb-systemd-helper-* -name '*registry-gateway*' 2> /dev/null)" ] || fail 'systemd is left with a unit'
# Neither can be made again.
[ -s $key ] && [ -n "$(ls $store)" ] || fail 'the store or its key is gone'
[ -s /home/alice/.cargo/yk-cargo/enrollments.toml ] || fail 'what Alice enrolled is gone'
echo '   the store, its key and what Alice enrolled are there, and no file of the packages'
apt-get -qq install --yes --no-install-recommends /judged/1/registry-gateway_*.deb
holds 'the key signed' registry-gateway record greeting@0.1.0
