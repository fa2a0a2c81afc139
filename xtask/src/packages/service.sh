said=$(systemd-analyze verify /lib/systemd/system/registry-gateway.service 2>&1) || fail "$said"
[ -z "$(echo "$said" | grep registry-gateway)" ] || fail "$said"
echo '   systemd-analyze verify has nothing to say'
holds 'registry-gateway' getent passwd registry-gateway
# An administrator's change, which also has it take a port that is free.
sed -i 's/^listen = .*/listen = "127.0.0.1:0"/' $config
start_service
echo "   it serves $index"
as_alice "$enroll" sh service "$index" > /run/add
sh -eu /run/add
as_alice "$publish" sh service
stop_service
holds 'the key signed' registry-gateway record greeting@0.1.0
[ -z "$(find $store ! -user registry-gateway)" ] || fail 'commands of root left files in the store that are not its user'\''s'
sha256sum $key $config > /run/kept.sums
