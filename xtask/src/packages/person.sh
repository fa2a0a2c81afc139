printf '#!/bin/sh\necho 654321\n' > /home/alice/pin
chown alice:alice /home/alice/pin
chmod 700 /home/alice/pin
# All of it hers: card, registry, keys, crate.
# shellcheck disable=SC2016
as_alice '
cd ~
mkfifo served
registry-gateway serve --store ~/registry --listen 127.0.0.1:0 > served 2> errors &
index=
while read -r word rest; do
    case $word in
    index) index=$rest ;;
    ready) break ;;
    esac
done < served
[ -n "$index" ] || { cat errors >&2; exit 1; }
(set -- own "$index"; '"$enroll"') > add
export REGISTRY_GATEWAY_STORE=$HOME/registry
sh -eu add > ids
set -- own
'"$publish"'
yk-cargo audit own --remember --yes
public=$(sed -n "/--role publish/s/.*\(k3\.public\.[^ ]*\).*/\1/p" ~/add)
printf "version = 2\n[[key]]\nname = \"alice\"\npublic = \"%s\"\n[[signer]]\nindex = \"%s\"\ncrate = \"greeting\"\nsigners = [\"alice\"]\n" \
    "$public" "$index" > app/signers.toml
cd app
yk-cargo verify --lock
yk-cargo list
registry-gateway record greeting@0.1.0
' > /run/person.log 2>&1 || { cat /run/person.log; fail 'the flow of the demo does not go through'; }
cat /run/person.log
holds 'Published greeting v0.1.0 at registry `own`' cat /run/person.log > /dev/null
holds 'the key signed' cat /run/person.log > /dev/null
grep -q 'trusted.*greeting 0.1.0.*signed by alice' /run/person.log || fail 'greeting is not trusted'
