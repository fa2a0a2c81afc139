# As nobody: lintian warns of itself where it runs as root.
setpriv --reuid nobody --regid nogroup --clear-groups env -i HOME=/tmp PATH=/usr/bin:/bin LC_ALL=C.UTF-8 \
    lintian --no-cfg --fail-on error --show-overrides /judged/1/*.deb
for package in /judged/1/*.deb; do
    # No path of the machine that built it is in there.
    dpkg-deb --fsys-tarfile "$package" | grep -a -q -e "$SOURCES" -e "$CARGO_SOURCES" && fail "$package names a folder of its builder"
done
true
