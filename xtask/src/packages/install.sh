useradd --create-home alice
apt-get -qq update
apt-get -qq install --yes --no-install-recommends /judged/1/*.deb
for program in $programs; do
    [ "$(command -v "$program")" = "/usr/bin/$program" ] || fail "$program is not in PATH"
    holds "$program 0.1.0" "$program" --version
    dpkg --verify "$program" || fail "dpkg does not find what it installed of $program"
    [ -s "/usr/share/doc/$program/copyright" ] || fail "$program has no copyright"
    holds 'MIT License' cat "/usr/share/doc/$program/copyright"
done
holds 'libpcsclite1' dpkg-query --show --showformat='${Depends}' yk-cargo
# The service is neither enabled nor started; its key is root's alone, its store the user's.
[ ! -e /etc/systemd/system/multi-user.target.wants/registry-gateway.service ] || fail 'the service is enabled'
holds "$config" dpkg-query --show --showformat='${Conffiles}' registry-gateway
holds 'root:root 600' stat --format='%U:%G %a' $key
holds 'root:root 644' stat --format='%U:%G %a' $config
holds 'registry-gateway:registry-gateway 700' stat --format='%U:%G %a' $store
[ -z "$(find $store ! -user registry-gateway)" ] || fail 'a part of the store is not its user'\''s'
