apt-get -qq install --yes --no-install-recommends /judged/2/*.deb
holds '0.1.0-2' dpkg-query --show --showformat='${Version}' registry-gateway
sha256sum --check --quiet /run/kept.sums || fail 'the upgrade changed what the administrator has'
holds 'the key signed' registry-gateway record greeting@0.1.0
start_service
stop_service
echo '   and it serves again'
